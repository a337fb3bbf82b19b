"""The contract of language model backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts.endings import THOUGHT, Ending, ending_of
from mmmodal_datagen.texts.thoughts import spoken

__all__ = ["ChatTurn", "Completion", "LanguageModel", "Sampling"]


class ChatTurn(Config):
    """One message to a language model."""

    role: Literal["system", "user", "assistant"]
    content: str | tuple[dict[str, Any], ...]
    """A text, or parts in the form of OpenAI's protocol, for models that read media:
    `{"type": "image_url", "image_url": {"url": "data:…"}}`."""


class Sampling(Config):
    """How an answer is drawn."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(None, gt=0)
    max_tokens: int = Field(1024, gt=0)
    stop: tuple[str, ...] = ()
    """Texts that end the answer, which does not include them."""

    seed: int | None = None
    json_schema: dict[str, Any] | None = None
    """The JSON schema of the answer, for backends that can enforce one."""


class Completion(Config):
    """An answer of a language model, without the thoughts that came with it."""

    text: str
    """The answer; thoughts in what a backend gives are left out, see `texts.thoughts`."""

    finish_reason: str
    """The backend's word for why the answer ended, as `stop` or `length`; `unknown` without one.
    `thought`: it ended within a thought."""

    model: str
    """The name that the backend returned; it may be more exact than the requested one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    left_out: tuple[str, ...] = ()
    """Names of fields of the sampling that the backend could not use."""

    @property
    def ending(self) -> Ending:
        """How the answer ended, in words that are the same for all backends."""
        return ending_of(self.finish_reason)

    @model_validator(mode="before")
    @classmethod
    def _without_thoughts(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("text"), str):
            return values
        text, unfinished = spoken(values["text"])
        cut = {"finish_reason": THOUGHT} if unfinished and _is_whole(values) else {}
        return {**values, "text": text, **cut}


def _is_whole(values: Mapping[str, Any]) -> bool:
    return ending_of(str(values.get("finish_reason"))) in ("whole", "other")


class LanguageModel(ABC):
    """A language model that many tasks of one event loop call at once.

    The constructor loads nothing: the first call loads weights or connects. Subclasses limit
    their own retries. The pipeline keeps every answer and makes no call twice.
    """

    name: ClassVar[str]
    """The name in pipelines: `openai`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    chats: ClassVar[bool] = True
    """Whether it accepts messages."""

    completes: ClassVar[bool] = True
    """Whether it continues raw text that includes a template."""

    seeded: ClassVar[bool] = False
    """Whether equal seeds give equal answers; the pipeline then always sets a seed."""

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what answers depend on: endpoint, `model`, `revision`; never a key."""

    @abstractmethod
    async def chat(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Completion:
        """Return the answer to the last of `turns`.

        Raises:
            BackendError: no answer came, after all retries.
            StopRun: no call can succeed, such as with a wrong key.
        """

    @abstractmethod
    async def complete(self, prompt: str, sampling: Sampling) -> Completion:
        """Return the continuation of `prompt`, without a template; begin-of-text is added once.

        Raises:
            BackendError: no answer came, after all retries.
            StopRun: no call can succeed, such as with a wrong key.
        """

    def cost(self, completion: Completion) -> float:
        """Return the cost of an answer in the currency of the prices; for the progress line."""
        return 0.0

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Close connections and threads; called once, on the event loop that made the calls."""
