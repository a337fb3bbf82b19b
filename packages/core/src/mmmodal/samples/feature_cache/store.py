"""The features of one tower on disk: shards that are written whole and never change.

D width of the tower.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import FeatureCacheError
from mmmodal.files import remove_unfinished, replacing, write_whole

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FeatureStore", "bytes_below"]

ABANDONED_S = 3600
"""The time without a change after which a temporary file belongs to a killed process."""


class FeatureStore:
    """Features by the SHA-256 of their medium, mapped to memory on request.

    Several processes may add features at once; if two add the same medium, it is stored twice. The
    store can be sent to worker processes, which open the shards themselves.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        """Open the shards of a folder; `description` is written there for users.

        Raises:
            FeatureCacheError: the folder cannot be read, or a shard is damaged.
        """
        self.folder = folder
        self._description = dict(description)
        self._shards: list[Path] = []
        self._places: dict[bytes, int] = {}
        self._opened: dict[int, Any] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._places

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}

    def refresh(self) -> None:
        """Open the shards that this or another process has added.

        Raises:
            FeatureCacheError: a shard is damaged, or belongs to another tower.
        """
        known = set(self._shards)
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in known:
                self._shards.append(path)
                for name in self._open(len(self._shards) - 1).keys():  # noqa: SIM118
                    self._places.setdefault(bytes.fromhex(name), len(self._shards) - 1)

    def read(self, sha256: str) -> Tensor:
        """Return the features [*shape, D] of a medium.

        Raises:
            KeyError: the store does not have them.
        """
        found: Tensor = self._open(self._places[bytes.fromhex(sha256)]).get_tensor(sha256)
        return found

    def add(self, features: Mapping[str, Tensor]) -> None:
        """Write the features of media as one shard, flushed to the disk.

        Raises:
            FeatureCacheError: the shard cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self.folder / f"{secrets.token_hex(16)}.safetensors"
        try:
            self._make_folder()
            metadata = {"format": "pt", "tower": self.folder.name}
            with replacing(path, durable=True) as working:
                save_file(dict(features), str(working), metadata=metadata)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FeatureCacheError(
                f"{self.folder} cannot be written ({reason}); make room, or name another "
                "feature_cache, and start again: the features that are stored there stay usable"
            ) from None

    def _make_folder(self) -> None:
        note = self.folder / "tower.json"
        if not note.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(note, json.dumps(self._description, indent=2) + "\n")
        remove_unfinished(self.folder, unchanged_s=ABANDONED_S)

    def _open(self, shard: int) -> Any:
        if shard not in self._opened:
            self._opened[shard] = self._checked(self._shards[shard])
        return self._opened[shard]

    def _checked(self, path: Path) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            opened: Any = safe_open(str(path), framework="pt")
        except (OSError, SafetensorError):
            raise FeatureCacheError(
                f"{path} is damaged; remove it to compute its features again"
            ) from None
        tower = (opened.metadata() or {}).get("tower")
        if tower != self.folder.name:
            raise FeatureCacheError(
                f"{path} holds features of {tower or 'an unknown tower'}; remove it from the folder"
            )
        return opened


def bytes_below(folder: Path) -> int:
    """Return the total bytes of the files below a folder, of all towers."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process has renamed it
            if path.is_file():
                yield path.stat().st_size
