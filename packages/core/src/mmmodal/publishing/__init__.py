"""Publish a model or adapter folder on the Hub: its files, the model card, the upload."""
