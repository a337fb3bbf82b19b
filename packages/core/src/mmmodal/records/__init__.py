"""Rows of data files, and the records that they hold."""
