"""The names of models in tables and folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

__all__ = ["names_of"]


def names_of(sources: Sequence[str]) -> list[str]:
    """Return a name for each model: its folder's, with as many parents as make it unique.

    Args:
        sources: the folders or ids; one that is named twice gets a number.
    """
    parts = [_parts(source) for source in sources]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["-".join(each[-length:]) for each in parts]
        if len(set(names)) == len(set(map(tuple, parts))):
            break
    seen: Counter[str] = Counter()
    found = []
    for name in names if parts else []:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _parts(source: str) -> list[str]:
    """Return the parts of a path or an id, each fit for the name of a folder."""
    path = Path(source)
    whole = path.resolve().parts if path.exists() else path.parts
    return [re.sub(r"[^\w.+-]+", "-", part).strip("-.") or "model" for part in whole if part != "/"]
