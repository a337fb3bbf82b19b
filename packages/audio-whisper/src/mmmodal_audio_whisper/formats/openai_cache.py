"""The models that openai-whisper knows by name, downloaded by openai-whisper to its own cache.

It has no public function that downloads a model without building it with its decoder, so this
module uses its private table and download function; no other module does.
"""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from pathlib import Path

from mmmodal.authoring.parts import PartError

__all__ = ["download_size", "fetch", "names", "target"]

TIMEOUT = 10  # seconds, for the request of a file's size


def names() -> list[str]:
    """Return the names of openai-whisper's models."""
    import whisper  # type: ignore[import-untyped, unused-ignore]

    return list(whisper.available_models())


def target(name: str) -> Path:
    """Return the path of a model's file in openai-whisper's cache."""
    home = os.getenv("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "whisper", _url(name).rpartition("/")[2])


def fetch(name: str) -> Path:
    """Return the file of a model, downloaded unless it exists with the right checksum.

    Raises:
        PartError: it cannot be downloaded, or has a wrong checksum.
    """
    import whisper  # type: ignore[import-untyped, unused-ignore]

    path, url = target(name), _url(name)
    if _is_whole(path, url):
        return path
    try:
        return Path(whisper._download(url, str(path.parent), in_memory=False))
    except RuntimeError as error:  # raised for a wrong checksum, and for a folder at `path`
        reason = str(error).partition(".")[0]
        raise PartError(f"{name}: {reason}; remove {path} and try again") from None
    except (OSError, HTTPException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PartError(
            f"{name}: {url} cannot be downloaded ({reason}); try again, or put that file at {path}"
        ) from None


def download_size(name: str) -> list[tuple[str, int]] | None:
    """Return the file and its size unless it is downloaded; None if the server gives no size."""
    from urllib.request import Request, urlopen

    path, url = target(name), _url(name)
    if _is_whole(path, url):
        return []
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT) as answer:
            return [(path.name, int(answer.headers["Content-Length"]))]
    except (OSError, HTTPException, TypeError, ValueError):
        return None


def _url(name: str) -> str:
    import whisper  # type: ignore[import-untyped, unused-ignore]

    url: str = whisper._MODELS[name]
    return url


def _is_whole(path: Path, url: str) -> bool:
    """Return whether a file has the checksum in its URL.

    openai-whisper checks this too, but reads the whole file into memory.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == url.split("/")[-2]
