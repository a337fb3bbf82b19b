"""What tests of several packages are about: pictures, clips, tiny models, conversations, files."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PAPER_EXAMPLES", "ROOT"]

ROOT = Path(__file__).parents[2]
"""The folder of the whole repository."""

PAPER_EXAMPLES = ROOT / "packages/core/tests/data/paper_examples.jsonl"
"""Rows as the paper's authors published them."""
