"""Scorers: one file for each kind."""
