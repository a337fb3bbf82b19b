"""`OLD=NEW`: the beginnings of media paths that were written on another machine."""

from __future__ import annotations

from collections.abc import Sequence

from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import ConfigError

__all__ = ["RootMaps"]


class RootMaps:
    """Replace the beginnings of media paths; of several that fit, the longest."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        pairs = [_parse(text) for text in texts]
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def apply(self, record: Record) -> Record:
        """Return the record with the paths of this machine."""
        if not self._pairs:
            return record
        media = tuple(self._mapped(ref) for ref in record.media)
        return record.model_copy(update={"media": media})

    def _mapped(self, ref: MediaRef) -> MediaRef:
        for old, new in self._pairs:
            rest = ref.uri.removeprefix(f"{old}/")
            if rest != ref.uri:
                return ref.model_copy(update={"uri": f"{new}{rest}"})
        return ref


def _parse(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old.rstrip("/"):
        raise ConfigError("root map", [f"{text!r} is not of the form OLD=NEW"])
    return old.rstrip("/"), f"{new.rstrip('/')}/" if new else ""
