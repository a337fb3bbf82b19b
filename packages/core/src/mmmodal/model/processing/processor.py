"""The class that `AutoProcessor` loads."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from transformers import BatchFeature, ProcessorMixin

from mmmodal.errors import RenderError
from mmmodal.limits import LimitSettings
from mmmodal.model.processing.arguments import Arguments, TextSettings, read_arguments
from mmmodal.model.processing.batches import batch_of, media_of
from mmmodal.model.processing.chats import (
    Ending,
    as_chat_errors,
    chat_samples,
    chat_texts,
    check_ending,
    read_chats,
)
from mmmodal.model.processing.facet import ModalityFacet
from mmmodal.model.processing.media import check_rate, flat, read_medium
from mmmodal.model.processing.prompts import prompt_samples
from mmmodal.model.processing.templates import Template
from mmmodal.samples.preparer import Preparer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mmmodal.samples.preparer import ModalityEntry

__all__ = ["MMModalProcessor"]


class MMModalProcessor(ProcessorMixin):
    """The class that `AutoProcessor` loads: the tokenizer, and the modalities of a model folder.

    It has transformers' names for a modality: `image_token` and `image_token_id` (its slot),
    `image_processor`, and for one whose tensors are `input_features` a `feature_extractor`.
    """

    text_kwargs: dict[str, Any] = {}  # type: ignore[assignment] # noqa: RUF012
    """The defaults of arguments such as `padding`, for this processor alone; set it as a whole."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        modalities: Mapping[str, ModalityEntry] | None = None,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        tokenizer.chat_template = self.chat_template
        tokenizer.padding_side = "left"  # generation requires it; a tokenizer's own is for training
        self.modalities = dict(modalities or {})

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        """Load the processor of a model folder, with `padding_side="right"` if that is given."""
        processor: Self = super().from_pretrained(*args, **kwargs)
        if side := kwargs.get("padding_side"):
            processor.tokenizer.padding_side = side
        return processor

    @functools.cached_property
    def preparer(self) -> Preparer:
        """The preparer, which reads media, renders conversations and collates samples."""
        return Preparer(self.tokenizer, self.modalities)

    def __getattr__(self, name: str) -> Any:
        """Return `<modality>_token`, `<modality>_token_id`, `<modality>_processor`, and the
        `feature_extractor`."""
        modality, _, what = name.partition("_")
        if modality in self.__dict__.get("modalities", ()):
            if what == "token":
                return self.preparer.markups[modality].slot
            if what == "token_id":
                return self.preparer.markers[modality].slot
            if what == "processor":
                return self._facet(modality)
        if name == "feature_extractor" and "modalities" in self.__dict__:
            for kind, found in self.preparer.modalities.items():
                if found.input_name == "input_features":
                    return self._facet(kind)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def model_input_names(self) -> list[str]:
        """The names of all tensors that this processor can return."""
        facets = [self._facet(name) for name in self.modalities]
        names = [name for facet in facets for name in facet.model_input_names]
        return ["input_ids", "attention_mask", *names]

    def _facet(self, modality: str) -> ModalityFacet:
        return ModalityFacet(self, self.preparer, modality)

    def allow(self, limits: LimitSettings) -> None:
        """Set the limits of media; they are not saved."""
        self.preparer.allow(limits)

    def read(self, modality: str, value: Any, *, root: Path | None = None) -> Any:
        """Return the item of a path, a data URI, bytes, or an object such as a PIL image."""
        return self.preparer.read(modality, value, root=root)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        tools: Any = None,
        documents: Any = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        return_assistant_tokens_mask: bool = False,
        tokenize: bool = False,
        return_tensors: Any = "auto",
        return_dict: bool = False,
        load_audio_from_video: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        sanitize_control_tokens: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the tensors of chats in transformers' form, as its own processors do.

        Media in the chat are read here; `{"type": "image"}` without a medium takes the next one of
        `processor_kwargs={"images": …}`. With `tokenize=False` the result is the text with the
        markers of each medium, which the processor accepts when it is called, and placeholders
        need no medium.

        Args:
            conversation: a list of messages, or a list of such lists.
            chat_template: another template, or the name of one of several.
            tools: functions or JSON schemas, for a template that has the variable.
            documents: texts with titles, for a template that has the variable.
            add_generation_prompt: end with the header of an assistant turn.
            continue_final_message: end with the text of the last message, for the model to go on.
            return_assistant_tokens_mask: return `assistant_masks`, true at the tokens of
                `{% generation %}` blocks; in a template without them, at the answers and turn ends.
            tokenize: return tensors instead of text.
            return_tensors: `pt`, `np`, or None for lists; by default `pt`.
            return_dict: return all tensors; else `input_ids`.
            load_audio_from_video: only False.
            processor_kwargs: arguments of `__call__`, such as `padding`.
            sanitize_control_tokens: has no effect, as a text never becomes a marker here.
            kwargs: variables of the template, such as `enable_thinking`; or arguments of
                `__call__`.

        Raises:
            ChatError: the chat cannot be rendered, or an argument cannot be honoured; it is a
                RenderError and an error of Jinja, as those of transformers' processors are.
        """
        ending = Ending(add_generation_prompt, bool(continue_final_message))
        flags = {"load_audio_from_video": load_audio_from_video or None}
        flags |= {} if return_tensors == "auto" else {"return_tensors": return_tensors}
        with as_chat_errors():
            check_ending(ending, continue_final_message, return_assistant_tokens_mask)
            if return_assistant_tokens_mask and not (tokenize and return_dict):
                raise RenderError(
                    "return_assistant_tokens_mask needs tokenize=True and return_dict=True"
                )
            template = self._template(chat_template, tools, documents)
            rest = {k: v for k, v in kwargs.items() if k not in template.variables}
            known = {**(processor_kwargs or {}), **rest, **flags}
            arguments = self._arguments(known, template.variables)
            template = template.with_variables(kwargs)
            renderer = template.renderer(
                self.preparer.renderer, marked=return_assistant_tokens_mask
            )
            chats, single = read_chats(conversation, list(self.modalities))
            if not tokenize:
                texts = chat_texts(chats, self.preparer, renderer, ending)
                return texts[0] if single else texts
            samples = chat_samples(chats, self.preparer, renderer, ending, arguments)
            batch = batch_of(
                self.preparer,
                samples,
                arguments.settings,
                assistant_masks=return_assistant_tokens_mask,
            )
            return BatchFeature(batch) if return_dict else batch["input_ids"]

    def __call__(self, *, text: Any = None, **kwargs: Any) -> BatchFeature:
        """Return the tensors of rendered prompts with `<image>` or `<audio>` for each medium.

        For conversations use `apply_chat_template`, in which user text never becomes a marker.
        Arguments of transformers' processors that cannot be honoured here raise an error.

        Args:
            text: one prompt or a list of prompts; None for the tensors of media alone.
            kwargs: the items of each modality, by its name or the plural (`images=`): one list in
                the order of the placeholders of all prompts, or a list for each prompt. And
                `padding`, `padding_side`, `pad_to_multiple_of`, `truncation`, `max_length`,
                `add_special_tokens`, `return_tensors`, `return_attention_mask` as transformers has
                them, also in `text_kwargs`, but with `padding=True` and `return_tensors="pt"` by
                default and without special tokens, which a chat template writes itself; and
                `sampling_rate`, the rate of arrays that come without one.

        Raises:
            SpliceError: the placeholders of the prompts do not match the media, or truncation would
                cut a medium.
            RenderError: an argument is unknown, or cannot be honoured.
        """
        arguments = self._arguments(kwargs)
        media = {self.preparer.modality_named(key): v for key, v in arguments.media.items()}
        if text is None:
            return BatchFeature(self._media_alone(media, arguments.settings))
        prompts = [text] if isinstance(text, str) else text
        if not (isinstance(prompts, list | tuple) and prompts) or not all(
            isinstance(prompt, str) for prompt in prompts
        ):
            raise RenderError("text must be a prompt, or a list of prompts that is not empty")
        samples = prompt_samples(self.preparer, prompts, media, arguments.settings)
        return BatchFeature(batch_of(self.preparer, samples, arguments.settings))

    def _arguments(self, given: Mapping[str, Any], also: Iterable[str] = ()) -> Arguments:
        arguments = read_arguments(given, self.modalities, self.text_kwargs, also)
        check_rate(self.preparer, arguments.settings.sampling_rate)
        return arguments

    def _template(self, given: str | None, tools: Any, documents: Any) -> Template:
        """Return the template of a call; that of the processor can be set after it was made."""
        own: Any = self.chat_template
        if given is None and own != self.tokenizer.chat_template:
            given = own
        return Template.of(self.tokenizer, given, tools, documents)

    def _media_alone(self, media: Mapping[str, Any], settings: TextSettings) -> dict[str, Any]:
        """Return the tensors of media without text."""
        if not media:
            raise RenderError("nothing was given; pass text, media or both")
        prepared = [
            self.preparer.preprocess(
                name, read_medium(self.preparer, name, value, settings.sampling_rate)
            )
            for name, given in media.items()
            for value in flat(given, self.preparer.modalities[name])
        ]
        return media_of(self.preparer.collate_media(prepared), settings)
