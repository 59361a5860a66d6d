"""Base classifiers, with everything that fixes their function, and the files they are read from.

classifier: architecture, input and weights. checkpoint: Orbax directories. torch_files: published PyTorch
files. ensemble: several classifiers that answer as one. denoiser, denoised: denoisers, and classifiers behind
them. torch_denoisers: published U-Nets. accuracy: the accuracy of a base classifier, with and without noise.
"""
