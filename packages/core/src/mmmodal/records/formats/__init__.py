"""Formats of rows. A format is one module of this package, whose `FORMAT` is an instance of it."""
