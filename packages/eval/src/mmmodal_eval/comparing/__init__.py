"""Comparisons of two results on the same questions, and the gate that refuses a loss."""
