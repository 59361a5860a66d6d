"""Whole runs, into a file or a directory, continued where they were interrupted.

certification: any smoothed classifier, into a result file or into memory. split: a data set's split and a
checkpoint by their names, what `rsjax.certify` and `rsjax.predict` do. training: into a directory, what
`rsjax.train` does. face: the object that `rsjax.smooth` and `rsjax.load` give. provenance: what ran where.
progress: what runs tell while they go on.
"""
