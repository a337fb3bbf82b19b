"""transformers' processor for a composed model: its arguments and names, around the preparer."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import BatchFeature, ProcessorMixin

from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.prompts import split_prompt
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import RenderError, SpliceError
from mmmodal.limits import LimitSettings
from mmmodal.samples.collation import Sample
from mmmodal.samples.preparer import Preparer, grouped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mmmodal.samples.preparer import ModalityEntry

__all__ = ["MMModalProcessor"]


class MMModalProcessor(ProcessorMixin):
    """The class that `AutoProcessor` loads: the tokenizer, and the modalities of a model folder."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        modalities: Mapping[str, ModalityEntry] | None = None,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        tokenizer.chat_template = self.chat_template
        self.modalities = dict(modalities or {})

    @functools.cached_property
    def preparer(self) -> Preparer:
        """The preparer, which reads media, renders conversations and collates samples."""
        return Preparer(self.tokenizer, self.modalities)

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors of this processor."""
        names = [kind.input_name for kind in self.preparer.modalities.values()]
        return ["input_ids", "attention_mask", *names]

    def allow(self, limits: LimitSettings) -> None:
        """Set the limits of media; they are not saved."""
        self.preparer.allow(limits)

    def read(self, modality: str, value: Any, *, root: Path | None = None) -> Any:
        """Return the item of a path, a data URI, bytes, or an object such as a PIL image."""
        return self.preparer.read(modality, value, root=root)

    def apply_chat_template(  # type: ignore[override]
        self, conversation: Any, **kwargs: Any
    ) -> Any:
        """Return the tensors of chats in transformers' form, as its own processors do.

        Media in the chat are read here. With `tokenize=False` the result is the text with the
        markers of each medium, which the processor accepts when it is called. Arguments of
        transformers' method that have no effect here raise an error.
        """
        single = bool(conversation) and isinstance(conversation[0], Mapping)
        chats = [conversation] if single else conversation
        prompt = self._wants_prompt(kwargs)
        if not kwargs.pop("tokenize", False):
            texts = [self._chat_text(chat, prompt) for chat in chats]
            return texts[0] if single else texts
        samples = [self._chat_sample(chat, prompt) for chat in chats]
        batch = self._batch(samples)
        return batch if kwargs.pop("return_dict", False) else batch["input_ids"]

    def _wants_prompt(self, kwargs: dict[str, Any]) -> bool:
        """Return `add_generation_prompt`; raise a RenderError for unsupported arguments."""
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
            names = ", ".join(sorted(wrong)) or "return_tensors other than 'pt'"
            raise RenderError(f"apply_chat_template does not accept {names}")
        return bool(kwargs.pop("add_generation_prompt", False))

    def _batch(self, samples: Sequence[Sample]) -> BatchFeature:
        batch = self.preparer.collate(samples, padding_side="left")
        del batch["labels"]
        return BatchFeature(batch)

    def _chat_sample(self, chat: Sequence[Mapping[str, Any]], prompt: bool) -> Sample:
        messages, media = read_messages(chat, self.modalities)
        items = [(kind, self.preparer.read(kind, value)) for kind, value in media]
        return self.preparer.prepare(messages, items, add_generation_prompt=prompt)

    def _chat_text(self, chat: Sequence[Mapping[str, Any]], prompt: bool) -> str:
        messages, media = read_messages(chat, self.modalities)
        shown = [self.preparer.markups[kind].shown for kind, _ in media]
        return self.preparer.renderer.text(messages, shown, add_generation_prompt=prompt)

    def __call__(
        self,
        *,
        text: Any = None,
        return_tensors: str | None = "pt",
        padding: Any = True,
        **media: Any,
    ) -> BatchFeature:
        """Return the tensors of rendered prompts with `<image>` or `<audio>` for each medium.

        For conversations use `apply_chat_template`, in which user text never becomes a marker.

        Args:
            text: one prompt or a list of prompts.
            return_tensors: always PyTorch tensors.
            padding: always to the longest prompt, on the left.
            media: the items of each modality in order, by its name or the plural (`images=`);
                for several prompts, one list for each.

        Raises:
            SpliceError: the markers of a prompt do not match the media given for it.
        """
        prompts = [text] if isinstance(text, str) else list(text or [])
        columns = {
            self.preparer.modality_named(keyword): _per_prompt(value, len(prompts))
            for keyword, value in media.items()
            if value is not None
        }
        samples = [
            self._prompt_sample(prompt, {name: items[i] for name, items in columns.items()}, i)
            for i, prompt in enumerate(prompts)
        ]
        return self._batch(samples)

    def _prompt_sample(self, prompt: str, media: Mapping[str, list[Any]], number: int) -> Sample:
        """Return the sample of one prompt, in which begin markers are media, in order."""
        preparer = self.preparer
        queues = {name: iter(items) for name, items in media.items()}
        known = {name: preparer.markups[name] for name in media}
        ids: list[int] = []
        prepared = []
        for piece in split_prompt(prompt, known, preparer.markers, self.tokenizer):
            if not isinstance(piece, str):
                ids += piece
                continue
            value = next(queues[piece], None)
            if value is None:
                sign = preparer.markups[piece].sign
                raise SpliceError(f"prompt {number} has more {sign} than {piece} items given")
            prepared.append(preparer.preprocess(piece, preparer.read(piece, value)))
            ids += preparer.markers[piece].expand(prepared[-1].layout)
        for name, queue in queues.items():
            if next(queue, None) is not None:
                raise SpliceError(f"prompt {number} has fewer <{name}> than {name} items given")
        return Sample(ids, [IGNORE] * len(ids), grouped(prepared))


def _per_prompt(value: Any, prompts: int) -> list[list[Any]]:
    """Return the items of each prompt; a flat list belongs to a single prompt."""
    if not isinstance(value, list | tuple):
        value = [value]
    if prompts == 1 and not (len(value) == 1 and isinstance(value[0], list | tuple)):
        return [list(value)]
    if len(value) != prompts:
        raise SpliceError(f"{len(value)} lists of media were given for {prompts} prompts")
    return [list(items) if isinstance(items, list | tuple) else [items] for items in value]
