"""The contract of modalities: the markers of a kind of data, and how its bytes are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from typing_extensions import TypeVar

from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits as GeneralLimits

if TYPE_CHECKING:
    from mmmodal.media.source import Source

__all__ = ["Modality"]

LimitsT = TypeVar("LimitsT", bound=GeneralLimits, default=Any)
"""The type of a modality's limits: `Modality[ImageLimits]`; any for a plain `Modality`."""


class Modality(ABC, Generic[LimitsT]):
    """A kind of data such as images; stateless, so that one instance can be shared."""

    name: ClassVar[str]
    """Its name in messages, on the command line and in configs: `image`."""

    input_name: ClassVar[str] = ""
    """The model's keyword for this modality's tensors; empty means `<name>_values`."""

    begin: ClassVar[str] = ""
    """The learned token before an item; empty means `<` + name + `>` (paper §5.1)."""

    end: ClassVar[str] = ""
    """The learned token after an item; empty means `</` + name + `>`."""

    slot: ClassVar[str] = ""
    """The token that one projected feature replaces; empty means `<|` + name + `|>`."""

    separator: ClassVar[str] = ""
    """The learned token between the tiles of an item; empty means `<|` + name + `:tile|>`.

    Only models with a `tiled` encoder have it.
    """

    Limits: ClassVar[type[GeneralLimits]] = GeneralLimits
    """The limits of an item: a subclass of `mmmodal.authoring.media.Limits` with further limits of
    this modality, each with a default. A user sets one as `limits.<modality>.<name>`."""

    endings: ClassVar[tuple[str, ...]] = ()
    """The endings of its files' names: `.jpg`. They determine the modality of a file if the data do
    not name it."""

    feature: ClassVar[str] = ""
    """The feature of the library `datasets` that shows an item: `Image`; empty if there is none."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = getattr(cls, "name", None)
        if name is None:
            return
        cls.input_name = cls.input_name or f"{name}_values"
        cls.begin = cls.begin or f"<{name}>"
        cls.end = cls.end or f"</{name}>"
        cls.slot = cls.slot or f"<|{name}|>"
        cls.separator = cls.separator or f"<|{name}:tile|>"

    @abstractmethod
    def read(self, source: Source, limits: LimitsT) -> Any:
        """Return the decoded item of a source; `limits` is an instance of this class's `Limits`.

        Raises:
            MediaError: the bytes are not a valid item of this modality, or exceed `limits`.
        """

    def convert(self, value: Any) -> Any:
        """Return an object that a Python user passes instead of a file as a media item."""
        raise MediaError(
            "unsupported",
            f"{self.name} given as {type(value).__name__}",
            "this modality accepts no such object; pass a path or bytes",
        )

    def items(self, given: Any) -> list[Any]:
        """Return the media that a Python user passes under this modality's name: one, or a list."""
        return list(given) if isinstance(given, list | tuple) else [given]

    def complete(self, value: Any, example: Callable[[], Any]) -> Any:
        """Return an object for `convert` with what it lacks, taken from an item of the encoder.

        Args:
            value: the object; samples without a rate, for example.
            example: a function that returns an item such as the encoder takes.
        """
        return value
