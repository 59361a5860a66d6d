"""Whole runs, into a file or a directory, which continue where they were interrupted.

certification: any smoothed classifier, into a result file or into memory. split: a data set's split and a
checkpoint by their names, as in `rsjax.certify` and `rsjax.predict`. training: into a directory, as in
`rsjax.train`. face: the object that `rsjax.smooth` and `rsjax.load` return; making: these two. values: bounds
of a real function's median. provenance: what ran where.
progress: what runs report while they go on.
"""
