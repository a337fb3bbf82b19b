"""`openai`: any endpoint of OpenAI's protocol: vLLM, llama.cpp, TGI, or OpenAI itself."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from mmmodal.authoring.parts import Config
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
"""Characters of a key that is removed from answers; a shorter one may be an ordinary word."""

HOPELESS = {
    401: "the key is refused; set it in the environment variable {env}",
    403: "the key may not do this; set another in the environment variable {env}",
    404: "there is no such model or path; check `model` and `base_url`",
}
"""Status codes that every other call would get too, and what to do."""


class OpenAIOptions(Config):
    """The endpoint, its limits and its retries."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    endpoint: str | None = None
    """A name that replaces `base_url` in the keys of kept answers, so that they stay valid when the
    server moves to another address."""

    revision: str | None = None
    """The revision of the model, for provenance."""

    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that contains the key; the key itself is never written to a file."""

    concurrency: int = Field(64, ge=1)
    """The maximum number of open calls."""

    timeout_s: float = Field(600, gt=0)
    """The time limit of one call, including the connection."""

    retries: int = Field(6, ge=0)
    """Retries after a lost connection, a timeout, a server error or a malformed answer."""

    rate_retries: int = Field(30, ge=0)
    """Retries after answers with status 429, too many requests."""

    backoff_s: float = Field(0.5, ge=0)
    """The pause before the first retry; it doubles with each retry, up to a minute."""

    begin_of_text: str = "<s>"
    """The begin-of-text of raw prompts; it is removed, as the server adds it. Empty if the server
    adds none."""

    extra_body: dict[str, Any] = Field({})
    """Further fields of every request, such as `{add_special_tokens: false}`."""

    input_price: float = Field(0, ge=0)
    """The price of a million tokens, for the progress line."""

    output_price: float = Field(0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("it contains a password; put keys into an environment variable")
        return url


class _Unanswered(Exception):
    """A call that may succeed when it is retried."""


class _SlowDown(Exception):
    """A call that was refused as there were too many."""


class OpenAIEndpoint(LanguageModel):
    """An endpoint of OpenAI's protocol: raw completions and chat."""

    name: ClassVar[str] = "openai"
    Options: ClassVar[type[Config]] = OpenAIOptions
    options: OpenAIOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self.rate = Rate(self.options.concurrency)
        self._opened: AsyncOpenAI | None = None
        self._hopeless: str | None = None
        """The reason why no call can succeed, once an answer shows that."""

    def identity(self) -> dict[str, Any]:
        """Return the endpoint, the model and the fields of every request."""
        chosen = self.options
        return {
            "endpoint": chosen.endpoint or chosen.base_url,
            "model": chosen.model,
            "revision": chosen.revision,
            "begin_of_text": chosen.begin_of_text,
            "extra_body": chosen.extra_body,
        }

    async def chat(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Completion:
        """Return the answer of `/chat/completions`."""
        body = {"messages": [turn.model_dump() for turn in turns]}
        if sampling.json_schema is not None:
            schema = {"name": "answer", "schema": sampling.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}  # type: ignore[assignment]
        return await self._ask("/chat/completions", body, sampling)

    async def complete(self, prompt: str, sampling: Sampling) -> Completion:
        """Return the answer of `/completions`."""
        prompt = prompt.removeprefix(self.options.begin_of_text)
        return await self._ask("/completions", {"prompt": prompt}, sampling)

    def cost(self, completion: Completion) -> float:
        """Return the cost of an answer by the prices in the options."""
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
        """Return the answer of one call; the type of an error shows whether it may be retried."""
        import openai

        try:
            async with asyncio.timeout(self.options.timeout_s):
                # `object` skips the client's typed models, which take most of the time.
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
            # The client's own message gives no cause, or names every error a timeout.
            raise _Unanswered(f"no connection: {_words(error.__cause__ or error)}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise _Unanswered(_words(error)) from None

    def _key(self) -> str:
        return os.environ.get(self.options.api_key_env, "").strip()

    def _said(self, error: BaseException) -> str:
        """Return the message of an error, shortened, and without the key, which servers repeat."""
        key = self._key()
        words = _words(error)
        return (words.replace(key, self._instead()) if key else words)[:300]

    def _without_key(self, completion: Completion) -> Completion:
        """Return an answer without the key, which some servers repeat in it."""
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

            # aiohttp takes half the time of the client's own transport; its default limit is a
            # hundred connections.
            limits = httpx2.Limits(max_connections=self.options.concurrency)
            self._opened = AsyncOpenAI(
                base_url=self.options.base_url,
                # Local servers accept any key, and the client requires one.
                api_key=self._key() or "none",
                max_retries=0,
                timeout=None,  # `timeout_s` limits each call as a whole
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
    """Return an answer as a completion; every field of it is checked."""
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
    """Return an answer up to the first stop text, which some servers include."""
    ends = [text.find(each) for each in stop if each in text]
    return text[: min(ends)] if ends else text


def _retry_after(error: APIStatusError) -> float | None:
    """Return the seconds of the `retry-after` header; None without one."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
