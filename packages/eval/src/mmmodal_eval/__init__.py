"""Evaluation of MMModal's models: scorers, intervals, paired comparisons, exchanged media."""
