"""The one place where conversations with media become what a model reads.

Training, chat, generation and transformers' processor all prepare here: a medium is read and
preprocessed, its slots are counted, the messages are rendered around them, samples are joined into
batches. Everything runs on the CPU, in data workers too, and holds no weights.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.markup import Markup
from mmmodal.contracts.record import Message
from mmmodal.conversation.layout import (
    Layout,
    MarkerIds,
    has_separator,
    marker_ids,
    markup_of,
)
from mmmodal.conversation.rendering import Renderer
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RenderError, SpliceError
from mmmodal.limits import LimitSettings
from mmmodal.media.limits import Limits
from mmmodal.media.reading import read_media
from mmmodal.media.source import open_source
from mmmodal.parts import encoder_from, modality_of, projector_from
from mmmodal.samples.collation import Sample, collate, collate_media, collate_pack

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["ModalityEntry", "PreparedMedium", "Preparer"]

ModalityEntry = Mapping[str, Any]
"""What a model folder records of a modality: its encoder's entry and its projector's, and `markup`
where the model was converted from one that writes its media in another way."""


@dataclass(frozen=True)
class PreparedMedium:
    """A medium as the tower of its modality takes it."""

    modality: str
    features: Any
    """What the encoder's `preprocess` returned."""

    layout: tuple[int, ...]
    """The slots that it fills, of each tile on its own."""

    @property
    def slots(self) -> int:
        """The slots of all its tiles together."""
        return sum(self.layout)


class Preparer:
    """The tokenizer, encoders, projectors, markers and limits of one model, without its weights."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, entries: Mapping[str, ModalityEntry] | None = None
    ) -> None:
        """Take what a model folder records.

        Args:
            tokenizer: with the chat template.
            entries: for each modality that the model takes what the folder records of it.
        """
        self.tokenizer = tokenizer
        self.entries = dict(entries or {})
        self._allowed = LimitSettings()
        self._limits: dict[str, Limits] = {}

    @functools.cached_property
    def modalities(self) -> dict[str, Modality]:
        """The modalities that the model takes."""
        return {name: modality_of(name) for name in self.entries}

    @functools.cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality; without towers."""
        return {name: encoder_from(entry) for name, entry in self.entries.items()}

    @functools.cached_property
    def projectors(self) -> dict[str, Projector]:
        """The projector of each modality, which knows the number of slots."""
        return {name: projector_from(entry["projector"]) for name, entry in self.entries.items()}

    @functools.cached_property
    def markups(self) -> dict[str, Markup]:
        """The texts of each modality's markers and slot."""
        kinds = self.modalities.items()
        return {name: markup_of(kind, self.entries[name].get("markup")) for name, kind in kinds}

    @functools.cached_property
    def markers(self) -> dict[str, MarkerIds]:
        """The token ids of each modality's markers and slot."""
        return {
            name: marker_ids(
                self.tokenizer,
                kind,
                has_separator(self.encoders[name], self.projectors[name]),
                self.markups[name],
            )
            for name, kind in self.modalities.items()
        }

    @functools.cached_property
    def renderer(self) -> Renderer:
        """What turns messages into ids."""
        return Renderer(self.tokenizer, self.markers)

    def allow(self, limits: LimitSettings) -> None:
        """Read media up to these limits from now on; they are not saved."""
        self._allowed, self._limits = limits, {}

    def limits(self, modality: str) -> Limits:
        """Return how large an item of a modality may be: what `allow` was given, or the defaults,
        and what the encoder's options allow beyond."""
        if modality not in self._limits:
            general = self._allowed.of(self.modalities[modality])
            self._limits[modality] = self.encoders[modality].limits(general)
        return self._limits[modality]

    def modality_named(self, keyword: str) -> str:
        """Return the modality that a keyword such as `image` or `images` means.

        Raises:
            RenderError: this model takes none of that name.
        """
        for name in (keyword, keyword.removesuffix("s")):
            if name in self.entries:
                return name
        known = ", ".join(sorted(self.entries)) or "text only"
        raise RenderError(f"this model takes no {keyword!r} (it takes: {known})")

    def read(self, modality: str, value: Any, *, root: Path | None = None) -> Any:
        """Return the item of a medium: from a path, a data URI, bytes, or an object that is one.

        A file is opened once. Of an encoder whose features are stored these are the item.

        Args:
            modality: its name, or the plural.
            value: the medium.
            root: where a relative path begins, which no path may leave; None: anywhere.

        Raises:
            MediaError: it cannot be read, or is larger than `limits` allows.
            RenderError: this model takes no such modality.
        """
        name = self.modality_named(modality)
        return read_media(
            self.modalities[name],
            value,
            root=root,
            limits=self.limits(name),
            known=self.encoders[name].recall,
        )

    def preprocess(self, modality: str, item: Any) -> PreparedMedium:
        """Return an item, as `read` returns it, as the tower takes it."""
        features = self.encoders[modality].preprocess(item)
        return PreparedMedium(modality, features, self.layout(modality, features))

    def layout(self, modality: str, features: Any) -> tuple[int, ...]:
        """Return the slots that preprocessed features take, of each tile on its own."""
        return self.projectors[modality].runs(self.encoders[modality].shape(features))

    def measure(self, modality: str, value: Any, *, root: Path | None = None) -> tuple[int, ...]:
        """Return the slots that a medium will take; it is decoded only where they depend on it.

        Raises:
            MediaError: it cannot be read, as far as that was looked at.
            RenderError: this model takes no such modality.
        """
        name = self.modality_named(modality)
        encoder = self.encoders[name]
        shape = encoder.fixed_shape
        if shape is None:
            shape = encoder.measure(self.read(name, value, root=root))
        else:
            open_source(value, root=root, limits=self.limits(name))  # refuses what is not there
        return self.projectors[name].runs(shape)

    def prepare(
        self,
        messages: Sequence[Message],
        media: Sequence[tuple[str, Any]] = (),
        *,
        add_generation_prompt: bool = False,
        where: str = "",
        max_tokens: int | None = None,
    ) -> Sample:
        """Render one conversation and preprocess its media.

        Args:
            messages: the turns, whose parts refer to `media` by index.
            media: (modality, item) pairs, with items as `read` returns them.
            add_generation_prompt: end where the assistant is to speak.
            where: names the row in errors and warnings.
            max_tokens: what it may take, slots included. A longer one loses its oldest turns, and
                a warning says so.

        Raises:
            RenderError: it cannot be rendered, or one turn alone takes more than `max_tokens`.
        """
        prepared = [self.preprocess(modality, item) for modality, item in media]
        layouts = [medium.layout for medium in prepared]
        fitting = self.fit(messages, layouts, max_tokens, add_generation_prompt)
        if fitting.dropped:
            lost = f"{where or 'conversation'}: {fitting.told()}"
            warnings.warn(f"{lost} to fit {max_tokens} tokens", stacklevel=2)
        rendered = fitting.rendered
        shown = [prepared[index] for index in rendered.media]
        sample = Sample(rendered.input_ids, rendered.labels, grouped(shown), where)
        self._check(sample, shown)
        return sample

    def fit(
        self,
        messages: Sequence[Message],
        layouts: Sequence[Layout],
        max_tokens: int | None = None,
        add_generation_prompt: bool = False,
    ) -> Shortened:
        """Render one conversation whose media take so many slots, without its oldest turns where it
        would take more than `max_tokens`.

        Raises:
            RenderError: it cannot be rendered, or one turn alone takes more than that.
        """
        render = functools.partial(
            self.renderer.render, layouts=layouts, add_generation_prompt=add_generation_prompt
        )
        allowed_by = "max_tokens, or the model's context,"
        return shorten(render, messages, layouts, max_tokens or sys.maxsize, allowed_by)

    def collate(
        self, samples: Sequence[Sample], padding_side: Literal["left", "right"] = "right"
    ) -> dict[str, Tensor]:
        """Join samples into one batch; generation wants them padded on the left."""
        return collate(
            samples,
            self.encoders,
            self.modalities,
            pad_token_id=self._pad,
            padding_side=padding_side,
        )

    def collate_pack(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Join samples into one row without padding, in which each begins anew."""
        return collate_pack(samples, self.encoders, self.modalities, pad_token_id=self._pad)

    def collate_media(self, media: Sequence[PreparedMedium]) -> dict[str, Tensor]:
        """Join media into the model's tensors, in their order, without any text."""
        return collate_media(grouped(media), self.encoders, self.modalities)

    @property
    def _pad(self) -> int:
        pad: Any = self.tokenizer.pad_token_id
        return int(pad)

    def _check(self, sample: Sample, shown: Sequence[PreparedMedium]) -> None:
        for name, markers in self.markers.items():
            slots = sample.input_ids.count(markers.slot)
            wanted = sum(medium.slots for medium in shown if medium.modality == name)
            if slots != wanted:
                where = sample.where or "sample"
                raise SpliceError(f"{where}: {slots} {name} slots for {wanted} features")


def grouped(media: Sequence[PreparedMedium]) -> dict[str, list[Any]]:
    """Return the features of media by their modality, in their order."""
    features: dict[str, list[Any]] = {}
    for medium in media:
        features.setdefault(medium.modality, []).append(medium.features)
    return features
