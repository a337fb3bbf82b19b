"""`openai`: any endpoint of OpenAI's protocol: vLLM, llama.cpp, TGI, or OpenAI itself."""

from __future__ import annotations

import asyncio
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.authoring.parts import Config
from mmmodal_datagen.backends.openai_answers import parsed, read_answer
from mmmodal_datagen.backends.openai_options import OpenAIOptions
from mmmodal_datagen.backends.openai_parameters import Parameters
from mmmodal_datagen.backends.openai_refusals import Refusal, ordinary_words
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
    from openai import AsyncOpenAI

__all__ = ["OpenAIEndpoint", "OpenAIOptions"]

LONGEST_BACKOFF_S = 60.0

SHORTEST_KEY = 8
"""Characters of a key that is cut out of texts; a shorter one may be an ordinary word."""

LONGEST_WORDS = 2000
"""The maximum number of characters of a server's words; an error page may be longer."""

LONG_PAUSE_S = 60.0
"""An endpoint that asks for a longer pause is told of."""

HOPELESS = {
    "key": "the key is refused; set it in the environment variable {env}",
    "quota": "the quota is used up; run again when there is more",
    "model": "there is no such model or path; check `model` and `base_url`",
}
"""Why every other call would be refused too, and what to do."""

PROMPT = ("model", "messages", "prompt")
"""The fields of a request that no endpoint is asked without."""


class _Unanswered(Exception):
    """A call that may succeed when it is retried, after a pause."""

    def __init__(self, words: str, pause_s: float | None = None) -> None:
        super().__init__(words)
        self.pause_s = pause_s or 0.0


class _SlowDown(Exception):
    """A call that was refused as there were too many."""


class _Refused(Exception):
    """A call that was refused, with what the endpoint said."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


class OpenAIEndpoint(LanguageModel):
    """An endpoint of OpenAI's protocol: raw completions and chat."""

    name: ClassVar[str] = "openai"
    Options: ClassVar[type[Config]] = OpenAIOptions
    options: OpenAIOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self.rate = Rate(self.options.concurrency)
        self._parameters = Parameters(self.options.base_url)
        self._told: set[str] = set()
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
        tries = slowed = 0
        while True:
            asked = self._asked(path, body, sampling)
            left_out = self._parameters.left_out(path, _drawn(sampling))
            try:
                async with self.rate.call() as begun:
                    if self._hopeless is not None:
                        raise StopRun(self._hopeless)
                    answer = await self._once(path, asked, begun)
                self.rate.answered()
                return self._read(answer, sampling, left_out)
            except _Refused as error:
                if (found := self._after(path, asked, error.refusal)) is not None:
                    return found
            except _SlowDown as error:
                slowed += 1
                if slowed > self.options.rate_retries:
                    said = self._said(error)
                    raise BackendError("endpoint refuses for its rate", said) from None
            except _Unanswered as error:
                tries += 1
                if tries > self.options.retries:
                    raise BackendError("endpoint did not answer", self._said(error)) from None
                await asyncio.sleep(max(error.pause_s, self._backoff(tries)))

    def _asked(self, path: str, body: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
        drawn = self._parameters.accepted(path, _drawn(sampling))
        return {"model": self.options.model, **body, **drawn, **self.options.extra_body}

    async def _once(self, path: str, body: Mapping[str, Any], begun: float) -> Any:
        """Return the answer of one call; the type of an error shows whether it may be retried."""
        import openai

        try:
            async with asyncio.timeout(self.options.timeout_s):
                # `object` skips the client's typed models, which take most of the time.
                answer = parsed(await self._client().post(path, cast_to=object, body=body))
        except openai.APIStatusError as error:
            response = error.response
            refusal = Refusal(error.status_code, response.text, response.headers)
            raise self._error(refusal, begun) from None
        except TimeoutError:
            raise _Unanswered(f"no answer within {self.options.timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            # The client's own message gives no cause, or names every error a timeout.
            cause = ordinary_words(error.__cause__ or error)
            raise _Unanswered(f"no connection: {cause}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise _Unanswered(ordinary_words(error)) from None
        if (hidden := Refusal.within(answer)) is not None:
            raise self._error(hidden, begun)
        return answer

    def _error(self, refusal: Refusal, begun: float) -> Exception:
        """Return the error of a refused call; a refusal of all calls ends the run."""
        if refusal.hopeless:
            what = HOPELESS[refusal.hopeless].format(env=self.options.api_key_env)
            where = f"{self.options.base_url}: {what} ({refusal.status})"
            self._hopeless = f"{where}: {self._said(refusal.words)}"
            return StopRun(self._hopeless)
        pause = refusal.retry_after
        if (pause or 0) > LONG_PAUSE_S:
            self._tell("it asks for pauses of more than a minute")
        if refusal.status == 429:
            self.rate.slow_down(begun, pause or self._backoff(1))
            return _SlowDown(refusal.words)
        if (refusal.status >= 500 and refusal.status != 501) or refusal.status in (408, 409, 425):
            return _Unanswered(refusal.words, pause)
        return _Refused(refusal)

    def _after(self, path: str, sent: Mapping[str, Any], refusal: Refusal) -> Completion | None:
        """Return the answer that a refusal is; None where the call is to be made again.

        Raises:
            BackendError: this call is refused, and others may not be.
            StopRun: every call is, for a parameter that makes a difference.
        """
        if refusal.is_filter:
            return Completion(text="", finish_reason="content_filter", model=self.options.model)
        words = self._said(refusal.words)
        parameters = {name: value for name, value in sent.items() if name not in PROMPT}
        if name := self._parameters.learn(path, parameters, refusal, self.options.extra_body):
            other = self._parameters.accepted(path, {name: None})
            now = f"it is sent as `{next(iter(other))}`" if other else "it is left out"
            self._tell(f"`{name}` is refused, and {now} from now on: {words}")
            return None
        name = refusal.parameter(parameters)
        if name and refusal.is_unsupported:
            what = f"`{name}` is refused, without which the answers would be others"
            self._hopeless = f"{self.options.base_url}: {what}: {words}"
            raise StopRun(self._hopeless)
        about = f" {name}" if name else ""
        raise BackendError(f"endpoint refuses{about} ({refusal.status})", words)

    def _read(self, answer: Any, sampling: Sampling, left_out: tuple[str, ...]) -> Completion:
        try:
            made = read_answer(answer, sampling, self.options.model, left_out)
        except ValueError as error:
            raise _Unanswered(ordinary_words(error)) from None
        if made.ending == "broken":
            raise _Unanswered(f"the answer ended by {made.finish_reason}")
        if made.ending == "other":
            self._tell(f"answers that end by {made.finish_reason!r} are taken for whole")
        return self._without_key(made)

    def _tell(self, text: str) -> None:
        """Warn of something, once."""
        if text not in self._told:
            self._told.add(text)
            warnings.warn(f"{self.options.base_url}: {text}", stacklevel=2)

    def _key(self) -> str:
        return os.environ.get(self.options.api_key_env, "").strip()

    def _said(self, words: object) -> str:
        """Return what a server says without the key, which some repeat, and otherwise as it is."""
        text = self._hidden(str(words))
        return text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 1]}…"

    def _without_key(self, completion: Completion) -> Completion:
        """Return an answer without the key, which some servers repeat in it."""
        texts = {name: getattr(completion, name) for name in ("text", "finish_reason", "model")}
        return completion.model_copy(
            update={name: self._hidden(text) for name, text in texts.items()}
        )

    def _hidden(self, text: str) -> str:
        key = self._key()
        if len(key) < SHORTEST_KEY:
            return text
        return text.replace(key, f"(the key in {self.options.api_key_env})")

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
