"""Measured comparisons: the library's kernels beside what a user would call instead, and beside the limits of the machine (`dslc bench`, `dslc tune`)."""
