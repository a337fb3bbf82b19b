"""What frozen towers return, computed once for each medium and read from disk from then on."""
