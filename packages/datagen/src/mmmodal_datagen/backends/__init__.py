"""Backends of language models, recognisers and translators; each is one module."""
