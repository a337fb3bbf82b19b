"""Intervals of figures, paired comparisons, and slices."""
