"""The models that openai-whisper knows by name: in its own cache, downloaded by itself.

It has no public function that downloads a model without building it, decoder and all, so its
private table and download function are used; this is the one file that does.
"""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from pathlib import Path

from mmmodal.authoring.parts import PartError

__all__ = ["download_size", "fetch", "names", "target"]

TIMEOUT = 10  # seconds, to ask for a size


def names() -> list[str]:
    """List the names that openai-whisper knows."""
    import whisper  # type: ignore[import-untyped, unused-ignore]

    return list(whisper.available_models())


def target(name: str) -> Path:
    """Return where openai-whisper keeps the file of a model."""
    home = os.getenv("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "whisper", _url(name).rpartition("/")[2])


def fetch(name: str) -> Path:
    """Return the file of a model, downloaded unless it is there with the right checksum.

    Raises:
        PartError: it cannot be downloaded, or what came has another checksum.
    """
    import whisper  # type: ignore[import-untyped, unused-ignore]

    path, url = target(name), _url(name)
    if _is_whole(path, url):
        return path
    try:
        return Path(whisper._download(url, str(path.parent), in_memory=False))
    except RuntimeError as error:  # how it tells of a wrong checksum, and of a folder at `path`
        reason = str(error).partition(".")[0]
        raise PartError(f"{name}: {reason}; remove {path} and try again") from None
    except (OSError, HTTPException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PartError(
            f"{name}: {url} cannot be downloaded ({reason}); try again, or put that file at {path}"
        ) from None


def download_size(name: str) -> list[tuple[str, int]] | None:
    """List the file and its size unless it is there whole; None where the server does not say."""
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
    """Check a file by its checksum, which is in its URL.

    openai-whisper would do so, too, but by reading all of it into memory.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == url.split("/")[-2]
