"""Answers of models, kept: nothing that was paid for is asked twice."""
