"""A model behind an endpoint of OpenAI's protocol, asked with parts that hold media."""

from __future__ import annotations

import asyncio
import functools
import itertools
import operator
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from mmmodal.authoring.parts import MMModalError
from mmmodal.authoring.records import ContentPart, Message, text_message
from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint, OpenAIOptions
from mmmodal_datagen.contracts import BackendError, ChatTurn, Completion, Sampling, StopRun
from mmmodal_datagen.fingerprints import digest
from mmmodal_eval.answers.kept import KeptAnswers
from mmmodal_eval.answers.media_parts import media_part
from mmmodal_eval.answers.respondent import Answered, Asked, History, Progress, Reply, Respondent

__all__ = ["EndpointModel"]

PATIENCE = 20
"""The number of conversations that may fail before any is answered."""

CUT = ("cut", "thought")
"""How an answer ends that was not whole."""


class EndpointModel(Respondent):
    """The model of an endpoint, which answers many conversations at once.

    Each call is kept as soon as it is answered, so that nothing is asked twice of a conversation
    that was interrupted.
    """

    ranks_choices: ClassVar[bool] = False

    def __init__(
        self, options: OpenAIOptions, kept: KeptAnswers, *, sampling: Sampling, history: History
    ) -> None:
        self._options, self._kept = options, kept
        self._sampling, self._history = sampling, history

    def identity(self) -> dict[str, Any]:
        """Return the endpoint, the model and how answers are drawn."""
        return {
            **OpenAIEndpoint(self._options).identity(),
            "sampling": self._sampling.model_dump(mode="json", exclude_none=True),
        }

    def answers(
        self, asked: Sequence[Asked], known: Collection[int], progress: Progress
    ) -> Iterator[Answered]:
        """Yield the answers to conversations when their last turns are answered.

        Raises:
            StopRun: no call can succeed, or none did.
        """
        left = [index for index in range(len(asked)) if index not in known]
        failures: list[str] = []
        works = False
        with _opened(self._options) as (runner, client):
            most = 2 * self._options.concurrency
            begin = functools.partial(self._conversation, client, asked)
            for answered in _finished(runner, begin, left, most):
                progress(len(answered))
                yield answered
                replies = [each for _, turns in answered for each in turns]
                failures += [each.error for each in replies if not each.is_lasting]
                works = works or not all(each.error for each in replies)
                if not works and len(failures) >= min(PATIENCE, len(left)):
                    raise StopRun(f"{self._options.base_url} answered no call: {failures[0]}")

    async def _conversation(
        self, client: OpenAIEndpoint, conversations: Sequence[Asked], index: int
    ) -> list[Reply]:
        """Return the replies to all user turns of a conversation."""
        asked = conversations[index]
        said: list[Message] = []
        replies: list[Reply] = []
        failed: Reply | None = None
        for message in asked.record.messages:
            if message.role != "assistant" or self._history == "gold":
                said.append(message)
            if message.role != "user":
                continue
            reply = failed or await self._reply(client, asked, said)
            replies.append(reply)
            if self._history == "own":
                said.append(text_message("assistant", reply.text))
                failed = reply if reply.error else None  # later turns would lack an answer
        return replies

    async def _reply(self, client: OpenAIEndpoint, asked: Asked, said: list[Message]) -> Reply:
        """Return the kept reply to the last message, or that of the endpoint."""
        record = asked.record.model_copy(update={"messages": tuple(said)})
        now = Asked(record, asked.root)
        request = self._kept.request(now, digest(self.identity()), "gold")

        async def ask() -> Mapping[str, Any]:
            turns = [self._turn(message, asked) for message in said]
            return (await client.chat(turns, self._sampling)).model_dump(mode="json")

        try:
            answer = await self._kept.answer({**request, "kind": "call"}, ask)
        except StopRun:
            raise
        except BackendError as error:
            return Reply(error=str(error), is_lasting=False)
        except MMModalError as error:
            return Reply(error=str(error))
        made = Completion.model_validate(answer)
        return Reply(text=made.text, is_whole=made.ending not in CUT)

    def _turn(self, message: Message, asked: Asked) -> ChatTurn:
        """Return a message as it is sent; one without media is a plain text."""
        if all(part.media is None for part in message.content):
            return ChatTurn(role=message.role, content=message.text)
        parts = tuple(self._part(part, asked) for part in message.content)
        return ChatTurn(role=message.role, content=parts)

    def _part(self, part: ContentPart, asked: Asked) -> dict[str, Any]:
        if part.media is None:
            return {"type": "text", "text": part.text}
        ref = asked.record.media[part.media]
        return media_part(ref.kind, self._kept.contents.read(ref, asked.root))


@contextmanager
def _opened(options: OpenAIOptions) -> Iterator[tuple[asyncio.Runner, OpenAIEndpoint]]:
    client = OpenAIEndpoint(options)
    with asyncio.Runner() as runner:
        try:
            yield runner, client
        finally:
            runner.run(_closed(client))


async def _closed(client: OpenAIEndpoint) -> None:
    """Cancel what is still open, and close the connections."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.aclose()


def _finished(
    runner: asyncio.Runner,
    begin: Callable[[int], Coroutine[Any, Any, list[Reply]]],
    left: Sequence[int],
    most: int,
) -> Iterator[Answered]:
    """Yield conversations as they are finished; at most `most` of them are open.

    Raises:
        MMModalError: that of a conversation, after all others that are finished.
    """
    waiting = iter(left)
    begun: dict[asyncio.Task[list[Reply]], int] = {}
    while True:
        for index in itertools.islice(waiting, most - len(begun)):
            begun[runner.get_loop().create_task(begin(index))] = index
        if not begun:
            return
        done = runner.run(_first_of(begun))
        ended = sorted(((begun.pop(task), task) for task in done), key=operator.itemgetter(0))
        if answered := [(index, task.result()) for index, task in ended if not task.exception()]:
            yield answered
        for _, task in ended:
            task.result()  # raises the error of one that failed


async def _first_of(begun: Collection[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    done, _ = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
    return done
