"""Tiny tokenizers with the chat formats of published language models, one for each family."""

from mmmodal.testing.languages.families import FAMILIES, Family, tiny_tokenizer

__all__ = ["FAMILIES", "Family", "tiny_tokenizer"]
