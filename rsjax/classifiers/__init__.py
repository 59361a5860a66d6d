"""What is certified: base classifiers with all that fixes their function, and where they come from.

classifier: architecture, input and weights. checkpoint: Orbax directories. torch_files: PyTorch's files of the
field. accuracy: of a base classifier, with noise and without.
"""
