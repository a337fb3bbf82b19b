"""Samples of data that are not indexed: shards read in order, shuffled and packed in a window."""
