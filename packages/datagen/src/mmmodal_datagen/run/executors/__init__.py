"""Executors: one process, several, ranks that share a folder, or a Ray cluster."""
