"""The keyword arguments of transformers' processors: what they set here, or why they cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from pydantic import Field, PositiveInt
from transformers.processing_utils import AudioKwargs, ImagesKwargs, TextKwargs, VideosKwargs

from mmmodal.config import Config, suggest, validate
from mmmodal.errors import RenderError

__all__ = ["Arguments", "TextSettings", "read_arguments"]


class TextSettings(Config):
    """The arguments that concern a batch and its tokens; None: not given."""

    padding: bool | Literal["longest", "max_length", "do_not_pad"] | None = None
    padding_side: Literal["left", "right"] | None = None
    pad_to_multiple_of: PositiveInt | None = None
    truncation: bool | Literal["longest_first", "only_first", "do_not_truncate"] | None = None
    max_length: PositiveInt | None = None
    add_special_tokens: bool | None = None
    return_tensors: Literal["auto", "pt", "np"] | None = "auto"
    """`pt`, `np`, or None for lists; `auto`: `pt`, or lists if there is to be no padding."""

    return_attention_mask: bool | None = None
    sampling_rate: int | None = Field(default=None, gt=0)
    """The rate of arrays that come without one, in Hz."""


@dataclass(frozen=True)
class Arguments:
    """What a call of the processor was given beside its text."""

    settings: TextSettings
    media: dict[str, Any] = field(default_factory=dict)
    """The media by the keyword that they came under, such as `images`."""


SETTINGS = tuple(TextSettings.model_fields)
GROUPS = ("common_kwargs", "text_kwargs", "images_kwargs", "audio_kwargs", "videos_kwargs")

IN_GROUPS = {
    "images_kwargs": ("return_tensors",),
    "audio_kwargs": ("return_tensors", "sampling_rate"),
    "videos_kwargs": ("return_tensors",),
}
"""What the group of a modality may set; how media are preprocessed is the encoder's."""

HARMLESS: dict[str, tuple[Any, ...]] = {
    "device": ("cpu",),
    "is_split_into_words": (False,),
    "load_audio_from_video": (False,),
    "return_length": (False,),
    "return_metadata": (False,),
    "return_mm_token_type_ids": (False,),
    "return_offsets_mapping": (False,),
    "return_overflowing_tokens": (False,),
    "return_special_tokens_mask": (False,),
    "return_text_replacement_offsets": (False,),
    "return_token_type_ids": (False,),
    # What a user types never becomes a marker here.
    "sanitize_control_tokens": (False, True),
    "stride": (0,),
    "verbose": (False, True),
}
"""The arguments of transformers without a setting here, and the values that ask for nothing."""


def read_arguments(
    given: Mapping[str, Any],
    modalities: Iterable[str],
    defaults: Mapping[str, Any],
    also: Iterable[str] = (),
) -> Arguments:
    """Return the keyword arguments of a call, those in groups such as `text_kwargs` included.

    A value of None is as good as none. What is given directly wins over what a group gives.

    Args:
        given: the arguments.
        modalities: the modalities of the model, under whose names and plurals media are given.
        defaults: the settings of the processor's own `text_kwargs`.
        also: further names that the caller accepts, to suggest them.

    Raises:
        RenderError: an argument is unknown, or cannot be honoured.
        ConfigError: the value of a setting is wrong.
    """
    values = {**defaults}
    for group in GROUPS:
        values |= _group(group, given.get(group) or {})
    kinds = {word for name in modalities for word in (name, f"{name}s")}
    media = {}
    for key, value in given.items():
        if key in SETTINGS:
            values |= {key: value} if value is not None or key == "return_tensors" else {}
        elif value is None or key in GROUPS:
            continue
        elif key in kinds:
            media[key] = value
        else:
            _check_harmless(key, value, {*kinds, *also})
    plain = {key: _plain(value) for key, value in values.items()}
    return Arguments(validate(TextSettings, plain, "processor"), media)


def _group(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a group."""
    allowed = IN_GROUPS.get(name, SETTINGS)
    for key, value in values.items():
        if key not in allowed and value is not None:
            _check_harmless(key, value, (), f" of {name}")
    return {key: value for key, value in values.items() if key in allowed and value is not None}


def _check_harmless(key: str, value: Any, kinds: Iterable[str], where: str = "") -> None:
    """Raise a RenderError for an argument that has no setting here, unless it asks for nothing."""
    if any(value is neutral or value == neutral for neutral in HARMLESS.get(key, ())):
        return
    if key in ImagesKwargs.__annotations__ or key in AudioKwargs.__annotations__:
        why = "how media are preprocessed is an option of the encoder, set by `mmmodal compose`"
    elif key in {*TextKwargs.__annotations__, *VideosKwargs.__annotations__, *HARMLESS}:
        why = "this processor cannot do that; leave it out"
    else:
        known = {*SETTINGS, *GROUPS, *kinds, "text"}
        raise RenderError(f"the processor does not accept {key!r}{where}{suggest(key, known)}")
    raise RenderError(f"the processor does not accept {key}={value!r}{where}: {why}")


def _plain(value: Any) -> Any:
    """Return the value of one of transformers' enums, such as `PaddingStrategy.LONGEST`."""
    return value.value if isinstance(value, Enum) else value
