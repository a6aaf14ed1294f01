"""Passes: one file and one function each, Kernel -> Kernel."""
