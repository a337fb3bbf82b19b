"""A kind of data: what marks it in a conversation and how bytes become a media item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from typing_extensions import TypeVar

from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits as GeneralLimits

if TYPE_CHECKING:
    from mmmodal.media.source import Source

__all__ = ["Modality"]

LimitsT = TypeVar("LimitsT", bound=GeneralLimits, default=Any)
"""The limits that a modality has: `Modality[ImageLimits]`; a plain `Modality` may have any."""


class Modality(ABC, Generic[LimitsT]):
    """A kind of data such as images; stateless, one instance serves everywhere."""

    name: ClassVar[str]
    """The word for it in messages, on the command line and in configs: `image`."""

    input_name: ClassVar[str] = ""
    """The model's keyword for this modality's tensors; empty means `<name>_values`."""

    begin: ClassVar[str] = ""
    """The learned token before an item; empty means `<name>` in angle brackets (paper §5.1)."""

    end: ClassVar[str] = ""
    """The learned token after an item; empty means `</name>`."""

    slot: ClassVar[str] = ""
    """The token that holds the place of one projected feature; empty means `<|name|>`."""

    separator: ClassVar[str] = ""
    """The learned token between the tiles of an item; empty means `<|name:tile|>`.

    Only models whose encoder is `tiled` have it.
    """

    Limits: ClassVar[type[GeneralLimits]] = GeneralLimits
    """How large an item may be: a subclass of `mmmodal.authoring.media.Limits` with limits of this
    modality's own, each with a default. A user sets one as `limits.<modality>.<name>`."""

    endings: ClassVar[tuple[str, ...]] = ()
    """The endings of its files' names: `.jpg`. They give the modality of a file whose data do not
    say it."""

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
        """Decode one media item within `limits`, an instance of `Limits` of this class.

        Raises:
            MediaError: the bytes are not a valid item of this modality, or exceed `limits`.
        """

    def convert(self, value: Any) -> Any:
        """Turn an object a Python user passes in place of a file into what `read` returns."""
        raise MediaError(
            "unsupported",
            f"{self.name} given as {type(value).__name__}",
            "pass a path or bytes; this modality takes no other object",
        )
