"""The preparer, which makes the model's input from conversations with media.

Training, chat, generation and transformers' processor all use it: it reads and preprocesses media,
counts their slots, renders the messages around them and collates samples to batches. It runs on the
CPU, also in data workers, and holds no weights.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.encoder import call_encoder, fixed_shape, measured, preprocessed, shape_of
from mmmodal.contracts.markup import Markup
from mmmodal.contracts.projector import runs_of
from mmmodal.contracts.record import Message
from mmmodal.conversation.differences import tell_unlearned
from mmmodal.conversation.layout import (
    Layout,
    MarkerIds,
    has_separator,
    marker_ids,
    markup_of,
)
from mmmodal.conversation.rendering import Rendered, Renderer
from mmmodal.conversation.thoughts import Thoughts
from mmmodal.conversation.training_text import LearnedAnswers
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RenderError, SpliceError
from mmmodal.limits import LimitSettings
from mmmodal.media.limits import Limits
from mmmodal.media.reading import read_media
from mmmodal.media.source import check_source
from mmmodal.parts import encoder_from, modality_of, projector_from
from mmmodal.samples.collation import Sample, collate, collate_media, collate_pack

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["ModalityEntry", "PreparedMedium", "Preparer"]

ModalityEntry = Mapping[str, Any]
"""The entry of a modality in a model folder: those of its encoder and projector, and `markup` if a
converted model has other markers."""


@dataclass(frozen=True)
class PreparedMedium:
    """A medium as input of its modality's tower."""

    modality: str
    features: Any
    """The result of the encoder's `preprocess`."""

    layout: tuple[int, ...]
    """The number of its slots, for each tile."""

    @property
    def slots(self) -> int:
        """The number of slots of all its tiles."""
        return sum(self.layout)


class Preparer:
    """The tokenizer, encoders, projectors, markers and limits of one model, without its weights."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, entries: Mapping[str, ModalityEntry] | None = None
    ) -> None:
        """Build the encoders and projectors of a model folder.

        Args:
            tokenizer: the tokenizer with the chat template.
            entries: the folder's entry of each modality.
        """
        self.tokenizer = tokenizer
        self.entries = dict(entries or {})
        self._allowed = LimitSettings()
        self._limits: dict[str, Limits] = {}
        self._thoughts: Thoughts = "keep"
        self._answers: LearnedAnswers = "asked"
        self.told = False
        """Whether answers that are not learned have been told."""

    @functools.cached_property
    def modalities(self) -> dict[str, Modality]:
        """The modalities of the model."""
        return {name: modality_of(name) for name in self.entries}

    @functools.cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality, without its tower."""
        return {name: encoder_from(entry) for name, entry in self.entries.items()}

    @functools.cached_property
    def projectors(self) -> dict[str, Projector]:
        """The projector of each modality, which determines the number of slots."""
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
        """The renderer, which renders messages to ids."""
        return Renderer(self.tokenizer, self.markers, self._thoughts, self._answers)

    def learn(self, thoughts: Thoughts, answers: LearnedAnswers = "asked") -> None:
        """Set what is learned of answers, as for `Renderer`; it is not saved."""
        self._thoughts, self._answers = thoughts, answers
        self.__dict__.pop("renderer", None)

    def allow(self, limits: LimitSettings) -> None:
        """Set the limits of media; they are not saved."""
        self._allowed, self._limits = limits, {}

    def limits(self, modality: str) -> Limits:
        """Return the limits of a modality: those of `allow` or the defaults, raised if the options
        of the encoder require it."""
        if modality not in self._limits:
            general = self._allowed.of(self.modalities[modality])
            self._limits[modality] = call_encoder(self.encoders[modality], "limits", general)
        return self._limits[modality]

    def modality_named(self, keyword: str) -> str:
        """Return the modality of a keyword such as `image` or `images`.

        Raises:
            RenderError: the model has no such modality.
        """
        for name in (keyword, keyword.removesuffix("s")):
            if name in self.entries:
                return name
        known = ", ".join(sorted(self.entries)) or "text only"
        raise RenderError(f"this model does not accept {keyword!r} (it accepts: {known})")

    def read(self, modality: str, value: Any, *, root: Path | None = None) -> Any:
        """Return the item of a medium, or its features if these are stored; a file is opened once.

        Args:
            modality: its name, or the plural.
            value: the medium.
            root: the folder of relative paths, outside of which no path may be; None: any path.

        Raises:
            MediaError: it cannot be read, or exceeds the limits.
            RenderError: the model has no such modality.
        """
        name = self.modality_named(modality)
        return read_media(
            self.modalities[name],
            value,
            root=root,
            limits=self.limits(name),
            known=self.encoders[name].recall,
            example=self.encoders[name].example,
        )

    def preprocess(self, modality: str, item: Any) -> PreparedMedium:
        """Return an item from `read` as input of its tower.

        Raises:
            ContractError: the encoder or the projector failed, or broke its contract.
        """
        features = preprocessed(self.encoders[modality], item)
        return PreparedMedium(modality, features, self.layout(modality, features))

    def layout(self, modality: str, features: Any) -> tuple[int, ...]:
        """Return the number of slots of preprocessed features, for each tile."""
        return runs_of(self.projectors[modality], shape_of(self.encoders[modality], features))

    def measure(self, modality: str, value: Any, *, root: Path | None = None) -> tuple[int, ...]:
        """Return the number of slots of a medium, for each tile; it is decoded only if necessary.

        Raises:
            MediaError: the medium cannot be read; an error in decoding may not be found.
            RenderError: the model has no such modality.
        """
        name = self.modality_named(modality)
        encoder = self.encoders[name]
        shape = fixed_shape(encoder)
        if shape is None:
            shape = measured(encoder, self.read(name, value, root=root))
        else:
            check_source(value, root=root, limits=self.limits(name))
        return runs_of(self.projectors[name], shape)

    def prepare(
        self,
        messages: Sequence[Message],
        media: Sequence[tuple[str, Any]] = (),
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        where: str = "",
        max_tokens: int | None = None,
        renderer: Renderer | None = None,
    ) -> Sample:
        """Return the sample of one conversation, with its media preprocessed.

        Args:
            messages: the turns, whose parts refer to `media` by index.
            media: (modality, item) pairs, with items from `read`.
            add_generation_prompt: end with the header of an assistant turn.
            continue_final_message: end with the last message's text, for the model to go on.
            where: the position of the row, for errors and warnings.
            max_tokens: the maximum length, slots included. A longer conversation loses its oldest
                turns, with a warning.
            renderer: a variant of the preparer's renderer, which is the default.

        Raises:
            RenderError: it cannot be rendered, or the last turn alone exceeds `max_tokens`.
        """
        prepared = [self.preprocess(modality, item) for modality, item in media]
        layouts = [medium.layout for medium in prepared]
        render = functools.partial(
            (renderer or self.renderer).render,
            layouts=layouts,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
        )
        fitting = _shortened(render, messages, layouts, max_tokens)
        if fitting.dropped:
            dropped = f"{where or 'conversation'}: {fitting.summary()}"
            warnings.warn(f"{dropped} to fit {max_tokens} tokens", stacklevel=2)
        rendered = fitting.rendered
        if rendered.unlearned and not self.told:
            self.told = True
            tell_unlearned(rendered, where)
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
        """Render one conversation with media of the given layouts, without its oldest turns if it
        exceeds `max_tokens`.

        Raises:
            RenderError: it cannot be rendered, or the last turn alone exceeds `max_tokens`.
        """
        render = functools.partial(
            self.renderer.render, layouts=layouts, add_generation_prompt=add_generation_prompt
        )
        return _shortened(render, messages, layouts, max_tokens)

    def collate(
        self,
        samples: Sequence[Sample],
        padding_side: Literal["left", "right"] = "right",
        length: int = 0,
    ) -> dict[str, Tensor]:
        """Return samples as one batch; generation requires padding on the left.

        Rows are padded to the longest, or to `length` tokens if that is more.
        """
        return collate(
            samples,
            self.encoders,
            self.modalities,
            pad_token_id=self._pad,
            padding_side=padding_side,
            length=length,
        )

    def collate_pack(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return samples as one row without padding; positions start at 0 in each sample."""
        return collate_pack(samples, self.encoders, self.modalities, pad_token_id=self._pad)

    def collate_media(self, media: Sequence[PreparedMedium]) -> dict[str, Tensor]:
        """Return the model's tensors of media, in their order, without text."""
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
                raise SpliceError(f"{slots} {name} slots for {wanted} features")


def _shortened(
    render: Callable[[Sequence[Message]], Rendered],
    messages: Sequence[Message],
    layouts: Sequence[Layout],
    max_tokens: int | None,
) -> Shortened:
    allowed_by = "max_tokens, or the model's context,"
    return shorten(render, messages, layouts, max_tokens or sys.maxsize, allowed_by)


def grouped(media: Sequence[PreparedMedium]) -> dict[str, list[Any]]:
    """Return the features of media by modality, in their order."""
    features: dict[str, list[Any]] = {}
    for medium in media:
        features.setdefault(medium.modality, []).append(medium.features)
    return features
