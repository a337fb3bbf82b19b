"""What loading a source would download, before it does."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["hub_files"]


def hub_files(source: str, patterns: Sequence[str]) -> list[tuple[str, int]] | None:
    """List (file, bytes) of a Hub repository that match and are not in the cache yet.

    Returns an empty list for a local folder and for a repository that is cached whole, None where
    the Hub cannot be asked.
    """
    if Path(source).exists():
        return []
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        siblings = HfApi().model_info(source, files_metadata=True).siblings or []
    except Exception:  # any failure of the network or the Hub: the size is not known
        return None
    return [
        (file.rfilename, file.size or 0)
        for file in siblings
        if any(fnmatch(file.rfilename, pattern) for pattern in patterns)
        and not isinstance(try_to_load_from_cache(source, file.rfilename), str)
    ]
