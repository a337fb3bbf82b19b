"""The features of frozen towers, computed once for each medium and then read from disk."""
