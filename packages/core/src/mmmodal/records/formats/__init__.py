"""Formats of rows. Each module of this package has one format, as `FORMAT`."""
