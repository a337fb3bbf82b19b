"""Remove the settings that a config.json must not decide: code to run, and attention.

It may be of unknown origin. transformers reads an attention implementation from it, which may name
a repository whose kernel is then downloaded and run, and names of other code to run (5.23).
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
    """Return the values of a config.json without these settings, in nested configs too."""
    return {
        key: without_decisions(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in DECISIONS
    }


def forget_decisions(config: PreTrainedConfig) -> None:
    """Remove these settings from a config that transformers built from a config.json."""
    for key in DECISIONS & set(vars(config)):
        delattr(config, key)
    for name in IMPLEMENTATIONS:
        setattr(config, f"_{name}", None)  # applies to nested configs too
