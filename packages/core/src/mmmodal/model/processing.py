"""Conversations with media into the model's tensors: what runs on the CPU, before the model."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import BatchFeature, ProcessorMixin

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.record import ContentPart, Message
from mmmodal.conversation.layout import (
    Layout,
    MarkerIds,
    Markup,
    has_separator,
    marker_ids,
    markup_of,
)
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.prompts import split_prompt
from mmmodal.conversation.rendering import IGNORE, Renderer
from mmmodal.conversation.truncation import Shortened, shorten
from mmmodal.errors import RenderError, SpliceError
from mmmodal.media import Limits
from mmmodal.media.reading import read_media
from mmmodal.model.parts import encoder_from, modality_of, projector_from
from mmmodal.samples.collation import Sample, collate, collate_pack

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["MMModalProcessor", "ModalityEntry"]

ModalityEntry = dict[str, Any]
"""What processor_config.json holds of a modality: its encoder's entry and its projector's, and
`markup` where the model was converted from one that writes its media in another way.
"""


class MMModalProcessor(ProcessorMixin):
    """Tokenizer, media readers and encoders' preprocessing; holds no weights."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        modalities: dict[str, ModalityEntry] | None = None,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        tokenizer.chat_template = self.chat_template
        self.modalities = modalities or {}
        self._allowed = Limits()

    @functools.cached_property
    def kinds(self) -> dict[str, Modality]:
        """The modalities this model takes."""
        return {name: modality_of(name) for name in self.modalities}

    @functools.cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each modality; without towers."""
        return {name: encoder_from(entry) for name, entry in self.modalities.items()}

    @functools.cached_property
    def projectors(self) -> dict[str, Projector]:
        """The projector of each modality, which knows the number of slots."""
        return {name: projector_from(entry["projector"]) for name, entry in self.modalities.items()}

    @property
    def limits(self) -> Limits:
        """How large a medium may be: what `allow` was told, or the defaults, and what an encoder's
        options allow beyond."""
        limits = self._allowed
        for encoder in self.encoders.values():
            limits = encoder.limits(limits)
        return limits

    def allow(self, limits: Limits) -> None:
        """Read media up to these limits from now on; they are not saved."""
        self._allowed = limits

    @functools.cached_property
    def markups(self) -> dict[str, Markup]:
        """The texts of each modality's markers and slot."""
        return {
            name: markup_of(kind, self.modalities[name].get("markup"))
            for name, kind in self.kinds.items()
        }

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
            for name, kind in self.kinds.items()
        }

    @functools.cached_property
    def renderer(self) -> Renderer:
        """What turns messages into ids."""
        return Renderer(self.tokenizer, self.markers)

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors this processor makes."""
        return ["input_ids", "attention_mask", *(kind.input_name for kind in self.kinds.values())]

    def read(
        self, modality: str, value: Any, *, root: Path | None = None, limits: Limits | None = None
    ) -> Any:
        """Read one medium from a path, a data URI, bytes, or an object such as a PIL image."""
        kind = self.kinds[self.modality_named(modality)]
        return read_media(kind, value, root=root, limits=limits or self.limits)

    def modality_named(self, keyword: str) -> str:
        """Return the modality that a keyword such as `image` or `images` means.

        Raises:
            RenderError: this model takes none of that name.
        """
        for name in (keyword, keyword.removesuffix("s")):
            if name in self.modalities:
                return name
        known = ", ".join(sorted(self.modalities)) or "text only"
        raise RenderError(f"this model takes no {keyword!r} (it takes: {known})")

    def prepare(
        self,
        messages: Sequence[Message],
        media: Sequence[tuple[str, Any]] = (),
        *,
        add_generation_prompt: bool = False,
        where: str = "",
        max_tokens: int | None = None,
    ) -> Sample:
        """Render one conversation and preprocess its media; runs in data workers.

        Args:
            messages: the turns, whose parts refer to `media` by index.
            media: (modality, decoded item) pairs, as `read` returns items.
            add_generation_prompt: end where the assistant is to speak.
            where: names the row in errors and warnings.
            max_tokens: what it may take, slots included. A longer one loses its oldest turns,
                which a warning tells.

        Raises:
            RenderError: it cannot be rendered, or one turn alone takes more than `max_tokens`.
        """
        features = [self.encoders[kind].preprocess(item) for kind, item in media]
        layouts = [self.layout(kind, f) for (kind, _), f in zip(media, features, strict=True)]
        fitting = self.fit(messages, layouts, max_tokens, add_generation_prompt)
        if fitting.dropped:
            told = f"{where or 'conversation'}: {fitting.told()}"
            warnings.warn(f"{told} to fit {max_tokens} tokens", stacklevel=2)
        rendered = fitting.rendered
        grouped: dict[str, list[Any]] = {}
        for index in rendered.media:
            grouped.setdefault(media[index][0], []).append(features[index])
        sample = Sample(rendered.input_ids, rendered.labels, grouped, where)
        self._check(sample)
        return sample

    def fit(
        self,
        messages: Sequence[Message],
        layouts: Sequence[Layout],
        max_tokens: int | None = None,
        add_generation_prompt: bool = False,
    ) -> Shortened:
        """Render one conversation whose media take so many slots, the oldest turns left out."""
        limit, allowed_by = max_tokens or sys.maxsize, "max_tokens, or the model's context,"
        return shorten(
            self.renderer,
            messages,
            layouts,
            limit,
            allowed_by,
            add_generation_prompt=add_generation_prompt,
        )

    def layout(self, modality: str, features: Any) -> tuple[int, ...]:
        """Tell the slots that preprocessed features take, of each tile on its own."""
        return self.projectors[modality].runs(self.encoders[modality].shape(features))

    def num_slots(self, modality: str, features: Any) -> int:
        """Tell how many slots preprocessed features take, of all tiles together."""
        return sum(self.layout(modality, features))

    def collate(
        self, samples: Sequence[Sample], padding_side: Literal["left", "right"] = "right"
    ) -> BatchFeature:
        """Join prepared samples into one batch; generation wants them padded on the left."""
        batch = collate(
            samples,
            self.encoders,
            self.kinds,
            pad_token_id=self.tokenizer.pad_token_id,
            padding_side=padding_side,
        )
        return BatchFeature(batch)

    def collate_pack(self, samples: Sequence[Sample]) -> BatchFeature:
        """Join prepared samples into one row without padding, in which each begins anew."""
        return BatchFeature(
            collate_pack(
                samples, self.encoders, self.kinds, pad_token_id=self.tokenizer.pad_token_id
            )
        )

    def apply_chat_template(  # type: ignore[override]
        self, conversation: Any, **kwargs: Any
    ) -> Any:
        """Turn chats in transformers' form into tensors, as its own processors do.

        Media in the chat are read here. With `tokenize=False` the result is the text, with the
        markers of each medium, as calling the processor takes it. Of the other arguments of
        transformers' method those that change nothing here are refused, not dropped.
        """
        single = bool(conversation) and isinstance(conversation[0], Mapping)
        chats = [conversation] if single else conversation
        prompt = self._wants_prompt(kwargs)
        if not kwargs.pop("tokenize", False):
            texts = [self._chat_text(chat, prompt) for chat in chats]
            return texts[0] if single else texts
        samples = [self._chat_sample(chat, prompt) for chat in chats]
        batch = self.collate(samples, padding_side="left")
        del batch["labels"]
        return batch if kwargs.pop("return_dict", False) else batch["input_ids"]

    def _wants_prompt(self, kwargs: dict[str, Any]) -> bool:
        """Take `add_generation_prompt` out of the arguments and refuse what is not understood."""
        if kwargs.pop("continue_final_message", False):
            raise RenderError(
                "continuing an assistant's turn is not supported; end with a user turn"
            )
        if kwargs.pop("tools", None) or kwargs.pop("documents", None):
            raise RenderError("tools and documents are not supported")
        template = kwargs.pop("chat_template", None)
        if template is not None and template != self.chat_template:
            raise RenderError("set the processor's chat_template instead of passing another one")
        known = {"tokenize", "return_dict", "add_generation_prompt", "return_tensors", "padding"}
        wrong = [key for key, value in kwargs.items() if key not in known and value]
        if wrong or kwargs.get("return_tensors") not in (None, "auto", "pt"):
            told = ", ".join(sorted(wrong)) or "return_tensors other than 'pt'"
            raise RenderError(f"apply_chat_template does not take {told}")
        return bool(kwargs.pop("add_generation_prompt", False))

    def _chat_sample(self, chat: Sequence[Mapping[str, Any]], prompt: bool) -> Sample:
        messages, media = read_messages(chat, self.modalities)
        items = [(kind, self.read(kind, value)) for kind, value in media]
        return self.prepare(messages, items, add_generation_prompt=prompt)

    def _chat_text(self, chat: Sequence[Mapping[str, Any]], prompt: bool) -> str:
        messages, media = read_messages(chat, self.modalities)
        shown = [self.markups[kind].shown for kind, _ in media]
        return self.renderer.text(messages, shown, add_generation_prompt=prompt)

    def __call__(
        self,
        *,
        text: Any = None,
        return_tensors: str | None = "pt",
        padding: Any = True,
        **media: Any,
    ) -> BatchFeature:
        """Tokenize rendered prompts in which each `<image>` or `<audio>` stands for one medium.

        For conversations use `apply_chat_template`: there what a user types is text.

        Args:
            text: one prompt or a list of prompts.
            return_tensors: always PyTorch tensors.
            padding: always to the longest prompt, on the left.
            media: the items of each modality in order, under its name or the plural (`images=`);
                for several prompts a list for each.

        Raises:
            SpliceError: the markers in a prompt and the media given for it disagree.
        """
        prompts = [text] if isinstance(text, str) else list(text or [])
        columns = {
            self.modality_named(keyword): _per_prompt(value, len(prompts))
            for keyword, value in media.items()
            if value is not None
        }
        samples = [
            self._prompt_sample(prompt, {name: items[i] for name, items in columns.items()}, i)
            for i, prompt in enumerate(prompts)
        ]
        batch = self.collate(samples, padding_side="left")
        del batch["labels"]
        return batch

    def _prompt_sample(self, prompt: str, media: Mapping[str, list[Any]], number: int) -> Sample:
        """Tokenize one prompt whose begin markers stand for media, in order."""
        queues = {name: iter(items) for name, items in media.items()}
        ids: list[int] = []
        features: dict[str, list[Any]] = {}
        known = {name: self.markups[name] for name in media if name in self.kinds}
        for piece in split_prompt(prompt, known, self.markers, self.tokenizer):
            if not isinstance(piece, str):
                ids += piece
                continue
            value = next(queues[piece], None)
            if value is None:
                sign = self.markups[piece].sign
                raise SpliceError(f"prompt {number} has more {sign} than {piece} items given")
            feature = self.encoders[piece].preprocess(self.read(piece, value))
            features.setdefault(piece, []).append(feature)
            ids += self.markers[piece].expand(self.layout(piece, feature))
        for name, queue in queues.items():
            if next(queue, None) is not None:
                raise SpliceError(f"prompt {number} has fewer <{name}> than {name} items given")
        return Sample(ids, [IGNORE] * len(ids), features)

    def _check(self, sample: Sample) -> None:
        for name, markers in self.markers.items():
            slots = sample.input_ids.count(markers.slot)
            wanted = sum(self.num_slots(name, item) for item in sample.features.get(name, []))
            if slots != wanted:
                raise SpliceError(
                    f"{sample.where or 'sample'}: {slots} {name} slots for {wanted} features"
                )


def text_message(role: Literal["system", "user", "assistant"], text: str) -> Message:
    """Return a message that is only text."""
    return Message(role=role, content=(ContentPart(type="text", text=text),))


def _per_prompt(value: Any, prompts: int) -> list[list[Any]]:
    """Give each prompt its items: a flat list belongs to a single prompt."""
    if not isinstance(value, list | tuple):
        value = [value]
    if prompts == 1 and not (len(value) == 1 and isinstance(value[0], list | tuple)):
        return [list(value)]
    if len(value) != prompts:
        raise SpliceError(f"{len(value)} lists of media were given for {prompts} prompts")
    return [list(items) if isinstance(items, list | tuple) else [items] for items in value]
