"""`openai`: any endpoint that speaks OpenAI's protocol: vLLM, llama.cpp, TGI, or OpenAI itself."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from mmmodal.config import Config
from mmmodal_datagen.backends.rate import Rate
from mmmodal_datagen.contracts import (
    BackendError,
    ChatTurn,
    Completion,
    LanguageModel,
    Sampling,
    StopRun,
)

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["OpenAIEndpoint", "OpenAIOptions"]

LONGEST_BACKOFF_S = 60.0

SHORTEST_KEY = 8
"""Of keys that are hidden in answers: servers of one's own take any word, and rows may hold it."""

HOPELESS = {
    401: "the key is refused; set it in the environment variable {env}",
    403: "the key may not do this; set another in the environment variable {env}",
    404: "there is no such model or path; check `model` and `base_url`",
}
"""What no other call will fare better with."""


class OpenAIOptions(Config):
    """Which endpoint, and how patient to be with it."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    endpoint: str | None = None
    """A name that stands for `base_url` in the store of answers, so that a server that moves to
    another address need not be asked again."""

    revision: str | None = None
    """Of the model, for provenance."""

    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; the key itself is never written anywhere."""

    concurrency: int = Field(64, ge=1)
    """Calls open at once at most."""

    timeout_s: float = Field(600, gt=0)
    """For one call, its connection included."""

    retries: int = Field(6, ge=0)
    """After a lost connection, a timeout, an error of the server or an answer that is none."""

    rate_retries: int = Field(30, ge=0)
    """After answers that say to slow down (429)."""

    backoff_s: float = Field(0.5, ge=0)
    """Before the first retry; twice as long before each further one, up to a minute."""

    begin_of_text: str = "<s>"
    """What raw prompts begin with and the server adds by itself; it is sent once. Empty, where the
    server adds nothing."""

    extra_body: dict[str, Any] = Field({})
    """What else every request holds, such as `{add_special_tokens: false}`."""

    input_price: float = Field(0, ge=0)
    """Of a million tokens, for the progress line."""

    output_price: float = Field(0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("it holds a password; keys belong into an environment variable")
        return url


class _Unanswered(Exception):
    """A call that may succeed when it is made again."""


class _SlowDown(Exception):
    """A call that was refused for being one too many."""


class OpenAIEndpoint(LanguageModel):
    """An endpoint that speaks OpenAI's protocol, raw completions and chat."""

    name: ClassVar[str] = "openai"
    Options: ClassVar[type[Config]] = OpenAIOptions
    options: OpenAIOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self.rate = Rate(self.options.concurrency)
        self._opened: AsyncOpenAI | None = None
        self._hopeless: str | None = None
        """Why no call can succeed, once an answer said so."""

    def identity(self) -> dict[str, Any]:
        """Return endpoint, model and what every request holds."""
        chosen = self.options
        return {
            "endpoint": chosen.endpoint or chosen.base_url,
            "model": chosen.model,
            "revision": chosen.revision,
            "begin_of_text": chosen.begin_of_text,
            "extra_body": chosen.extra_body,
        }

    async def chat(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Completion:
        """Ask `/chat/completions`."""
        body = {"messages": [turn.model_dump() for turn in turns]}
        if sampling.json_schema is not None:
            schema = {"name": "answer", "schema": sampling.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}  # type: ignore[assignment]
        return await self._ask("/chat/completions", body, sampling)

    async def complete(self, prompt: str, sampling: Sampling) -> Completion:
        """Ask `/completions`."""
        prompt = prompt.removeprefix(self.options.begin_of_text)
        return await self._ask("/completions", {"prompt": prompt}, sampling)

    def cost(self, completion: Completion) -> float:
        """Return what an answer cost by the prices in the options."""
        read = (completion.input_tokens or 0) * self.options.input_price
        return (read + (completion.output_tokens or 0) * self.options.output_price) / 1e6

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def _ask(self, path: str, body: Mapping[str, Any], sampling: Sampling) -> Completion:
        body = {"model": self.options.model, **body, **_drawn(sampling), **self.options.extra_body}
        tries = slowed = 0
        while True:
            try:
                async with self.rate.call() as begun:
                    if self._hopeless is not None:
                        raise StopRun(self._hopeless)
                    answer = await self._once(path, body, begun)
                self.rate.answered()
                return self._without_key(_completion(answer, sampling, self.options.model))
            except _SlowDown as error:
                slowed += 1
                if slowed > self.options.rate_retries:
                    said = self._said(error)
                    raise BackendError("endpoint refuses for its rate", said) from None
            except _Unanswered as error:
                tries += 1
                if tries > self.options.retries:
                    raise BackendError("endpoint did not answer", self._said(error)) from None
                await asyncio.sleep(self._backoff(tries))

    async def _once(self, path: str, body: Mapping[str, Any], begun: float) -> Any:
        """Make one call, and tell apart what may be tried again."""
        import openai

        try:
            async with asyncio.timeout(self.options.timeout_s):
                # `object` skips the client's typed models, which cost more than all else here.
                return await self._client().post(path, cast_to=object, body=body)
        except openai.RateLimitError as error:
            pause = _retry_after(error) or self._backoff(1)
            self.rate.slow_down(begun, pause)
            raise _SlowDown(str(error)) from None
        except openai.APIStatusError as error:
            if error.status_code in HOPELESS:
                what = HOPELESS[error.status_code].format(env=self.options.api_key_env)
                self._hopeless = f"{self.options.base_url}: {what} ({error.status_code})"
                raise StopRun(self._hopeless) from None
            if error.status_code < 500 and error.status_code not in (408, 409):
                reason = f"endpoint refuses ({error.status_code})"
                raise BackendError(reason, self._said(error)) from None
            raise _Unanswered(str(error)) from None
        except TimeoutError:
            raise _Unanswered(f"no answer within {self.options.timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            # The client says no more than that there was an error, or calls each a timeout.
            raise _Unanswered(f"no connection: {_words(error.__cause__ or error)}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise _Unanswered(_words(error)) from None

    def _key(self) -> str:
        return os.environ.get(self.options.api_key_env, "").strip()

    def _said(self, error: BaseException) -> str:
        """Return what an error says, in short and without the key, which servers repeat."""
        key = self._key()
        words = _words(error)
        return (words.replace(key, self._instead()) if key else words)[:300]

    def _without_key(self, completion: Completion) -> Completion:
        """Return an answer without the key: some servers answer with what went wrong."""
        key = self._key()
        texts = {name: getattr(completion, name) for name in ("text", "finish_reason", "model")}
        if len(key) < SHORTEST_KEY or not any(key in text for text in texts.values()):
            return completion
        hidden = {name: text.replace(key, self._instead()) for name, text in texts.items()}
        return completion.model_copy(update=hidden)

    def _instead(self) -> str:
        return f"(the key in {self.options.api_key_env})"

    def _client(self) -> AsyncOpenAI:
        if self._opened is None:
            import httpx2
            from openai import AsyncOpenAI, DefaultAioHttpClient

            # aiohttp takes half the time of the client's own transport, and would open no more
            # than a hundred connections.
            limits = httpx2.Limits(max_connections=self.options.concurrency)
            self._opened = AsyncOpenAI(
                base_url=self.options.base_url,
                # Servers of one's own take any key, and the client wants one.
                api_key=self._key() or "none",
                max_retries=0,
                timeout=None,  # each call as a whole has one
                http_client=DefaultAioHttpClient(limits=limits),
            )
        return self._opened

    def _backoff(self, tries: int) -> float:
        longest = min(LONGEST_BACKOFF_S, self.options.backoff_s * 2.0 ** (tries - 1))
        return longest * random.uniform(0.75, 1.25)


def _drawn(sampling: Sampling) -> dict[str, Any]:
    values = sampling.model_dump(exclude={"json_schema"}, exclude_none=True)
    values["stop"] = list(sampling.stop)
    return {key: value for key, value in values.items() if value != []}


def _completion(answer: Any, sampling: Sampling, model: str) -> Completion:
    """Read an answer, of which nothing is taken for granted."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        usage = answer.get("usage") or {}
        return Completion(
            text=_before_stop(text or "", sampling.stop),
            finish_reason=choice["finish_reason"] or "unknown",
            model=answer.get("model") or model,
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise _Unanswered(f"the answer is not of OpenAI's form: {answer!r}") from None


def _before_stop(text: str, stop: Sequence[str]) -> str:
    """Cut an answer at a stop text, which some servers keep."""
    ends = [text.find(each) for each in stop if each in text]
    return text[: min(ends)] if ends else text


def _retry_after(error: APIStatusError) -> float | None:
    """Return how long the endpoint asks to be left alone, if it says so in seconds."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
