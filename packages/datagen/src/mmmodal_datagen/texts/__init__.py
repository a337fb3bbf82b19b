"""Checks and measures of texts that several steps share."""
