"""What a config.json may not decide: which code runs, and how attention is computed.

It comes with weights from anywhere. transformers takes an attention implementation from it, which
may name a repository whose kernel is then downloaded and run, and other things to run by their
names (5.23).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["forget_decisions", "without_decisions"]

IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")

DECISIONS = frozenset(
    {
        *IMPLEMENTATIONS,
        *(f"_{name}" for name in IMPLEMENTATIONS),
        *(f"_{name}_internal" for name in IMPLEMENTATIONS),
        "auto_map",
        "fusion_config",
        "transformers_weights",
    }
)


def without_decisions(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config.json without what it may not decide, in its nested configs too."""
    return {
        key: without_decisions(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in DECISIONS
    }


def forget_decisions(config: PreTrainedConfig) -> None:
    """Take the same out of a config that transformers has built from a config.json."""
    for key in DECISIONS & set(vars(config)):
        delattr(config, key)
    for name in IMPLEMENTATIONS:
        setattr(config, f"_{name}", None)  # of nested configs too
