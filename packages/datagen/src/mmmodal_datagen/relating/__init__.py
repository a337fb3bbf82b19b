"""Pairs of media whose relation a model is asked for: which ones, and how they are drawn."""
