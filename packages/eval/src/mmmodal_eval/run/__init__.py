"""A run of an evaluation, and the files of its results."""
