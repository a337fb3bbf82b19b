"""What answers prompts: the contract of language model backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmmodal.config import Config

__all__ = ["ChatTurn", "Completion", "LanguageModel", "Sampling"]


class ChatTurn(Config):
    """One message to a language model."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(Config):
    """How an answer is drawn."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(None, gt=0)
    max_tokens: int = Field(1024, gt=0)
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""

    seed: int | None = None
    json_schema: dict[str, Any] | None = None
    """The answer is a JSON value of this schema, where the backend can enforce it."""


class Completion(Config):
    """What a language model wrote."""

    text: str
    finish_reason: str
    """`stop` when it ended by itself; `length` when it was cut off."""

    model: str
    """The name the backend gave, which may be more exact than the one asked for."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class LanguageModel(ABC):
    """A language model that is asked from many tasks of one event loop at once.

    Making one loads nothing: weights and connections wait for the first call. Subclasses bound
    their own retries; the pipeline keeps every answer, and asks nothing twice.
    """

    name: ClassVar[str]
    """The key users name it by: `openai`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    chats: ClassVar[bool] = True
    """Whether it takes messages."""

    completes: ClassVar[bool] = True
    """Whether it continues raw text, template and all."""

    seeded: ClassVar[bool] = False
    """Whether a seed is all it takes to get the same answer again; it is then always given one."""

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what decides its answers, as JSON: endpoint, `model`, `revision`. Never a key."""

    @abstractmethod
    async def chat(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Completion:
        """Answer the last of `turns`.

        Raises:
            BackendError: no answer came, after all retries.
            StopRun: no call can succeed, such as with a wrong key.
        """

    @abstractmethod
    async def complete(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue `prompt` as it stands, without a template; begin-of-text is added once.

        Raises:
            BackendError: no answer came, after all retries.
            StopRun: no call can succeed, such as with a wrong key.
        """

    def cost(self, completion: Completion) -> float:
        """Return what an answer cost, in the currency of its prices; for the progress line."""
        return 0.0

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Close what is open; called once, on the loop it was used from."""
