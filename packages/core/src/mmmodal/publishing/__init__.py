"""Publish a model or adapter folder on the Hub: which files belong, the card, the upload."""
