"""Recordings of any length, read piece by piece, and where they are cut."""
