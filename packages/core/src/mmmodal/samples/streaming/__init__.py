"""Samples of data that are not indexed: shards read in order, shuffled and packed in a window."""

LANES = 12
"""The lanes of each rank: many numbers of workers divide it."""
