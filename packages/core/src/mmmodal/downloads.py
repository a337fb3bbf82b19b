"""Tell Hub ids from folders, and list the files that loading a source would download."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["hub_files", "is_hub_id", "is_repository_name"]


def is_hub_id(source: object) -> bool:
    """Return whether a recorded source is a Hub id, not a folder."""
    return isinstance(source, str) and not Path(source).exists() and is_repository_name(source)


def is_repository_name(text: str) -> bool:
    """Return whether a text is a valid name of a repository with its owner."""
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    try:
        utils.validate_repo_id(text)  # type: ignore[attr-defined, unused-ignore]
    except HFValidationError:
        return False
    return text.count("/") == 1


def hub_files(source: str, patterns: Sequence[str]) -> list[tuple[str, int]] | None:
    """Return (file, bytes) of the files of a Hub repository that match and are not cached.

    The list is empty for a local folder and for a repository that is cached whole; None if the Hub
    cannot be reached.
    """
    if Path(source).exists():
        return []
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        siblings = HfApi().model_info(source, files_metadata=True).siblings or []
    except Exception:  # after any error of the network or the Hub the size is unknown
        return None
    return [
        (file.rfilename, file.size or 0)
        for file in siblings
        if any(fnmatch(file.rfilename, pattern) for pattern in patterns)
        and not isinstance(try_to_load_from_cache(source, file.rfilename), str)
    ]
