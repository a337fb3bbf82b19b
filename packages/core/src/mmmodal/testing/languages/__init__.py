"""Tiny tokenizers that talk as published language models do, one for each family."""

from mmmodal.testing.languages.families import FAMILIES, Family, tiny_tokenizer

__all__ = ["FAMILIES", "Family", "tiny_tokenizer"]
