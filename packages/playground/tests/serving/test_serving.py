"""The served model answers by OpenAI's protocol, and only what the world knows."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from mmmodal.errors import MMModalError
from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint, OpenAIOptions
from mmmodal_datagen.contracts import ChatTurn, Sampling
from mmmodal_datagen.prompts.prompt import format_prompt, format_user
from mmmodal_playground.serving.server import MODEL, serving
from mmmodal_playground.serving.understanding import language_of, questions_about, things_in
from mmmodal_playground.serving.writer import Turn, read_raw
from mmmodal_playground.things import Thing

PHRASE = "where is the red star"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


def complete(address: str, *prompts: str) -> list[str]:
    """Ask through the client that the data pipeline uses."""

    async def ask() -> list[str]:
        endpoint = OpenAIEndpoint(OpenAIOptions(model=MODEL, base_url=address))
        found = [await endpoint.complete(prompt, Sampling()) for prompt in prompts]
        await endpoint.aclose()
        assert all(each.finish_reason == "stop" for each in found)
        return [each.text for each in found]

    return asyncio.run(ask())


def test_it_asks_about_what_a_text_says_in_the_texts_language(address: str) -> None:
    wanted = "{}\n\ngenerate questions based on context above"
    prompts = [format_prompt(wanted.format(text), ()) for text in (PHRASE, "di mana bintang merah")]
    english, malay = complete(address, *prompts)
    assert english.startswith("1. ") and "audio 1?" in english
    assert all(line.endswith("?") for line in (*english.splitlines(), *malay.splitlines()))
    assert "colour" in english and "Warna" in malay
    (nothing,) = complete(address, format_prompt(wanted.format("stock prices fell"), ()))
    assert "?" not in nothing


def test_the_trained_part_answers_and_remembers_what_was_said(address: str) -> None:
    first = f"{PHRASE}\nWhich colour is named in audio 1?"
    assert complete(address, format_prompt(first, ())) == ["red"]
    second = format_prompt("Which shape is named in audio 1?", [(first, "red")])
    assert complete(address, second) == ["star"]


def test_the_users_turn_is_a_question_that_was_not_asked_yet(address: str) -> None:
    asked = questions_about(PHRASE)
    history = [(f"{PHRASE}\n{asked[0]}", "an answer")]
    (question,) = complete(address, format_user(history))
    assert question in asked[1:]


def test_media_are_related_by_what_they_show(address: str) -> None:
    async def ask(*texts: str) -> list[dict[str, str]]:
        endpoint = OpenAIEndpoint(OpenAIOptions(model=MODEL, base_url=address))
        drawn = Sampling(json_schema={"type": "object"})
        found = [
            await endpoint.chat([ChatTurn(role="user", content=text)], drawn) for text in texts
        ]
        await endpoint.aclose()
        return [json.loads(each.text) for each in found]

    related, unrelated = asyncio.run(
        ask(
            "Audio 1: di mana bintang merah\nPicture 1: a red circle\n\nWhat is related?",
            "Picture 1: a blue square\nPicture 2: a red circle\n\nWhat is related?",
        )
    )
    assert related["relation"] == "related" and "same colour" in related["answer"]
    assert unrelated["relation"] == "unrelated"


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("/completions", b"{", 400),
        ("/completions", b"[]", 400),
        ("/completions", b"{}", 400),
        ("/chat/completions", b'{"messages": []}', 400),
        ("/chat/completions", b'{"messages": ["x"]}', 400),
        ("/other", b"{}", 404),
    ],
)
def test_a_bad_request_is_refused_and_the_server_goes_on(
    address: str, path: str, data: bytes, status: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(address + path, data), timeout=20)
    assert caught.value.code == status
    assert json.load(caught.value)["error"]["message"]
    listed: dict[str, Any] = json.load(urllib.request.urlopen(f"{address}/models", timeout=20))
    assert [each["id"] for each in listed["data"]] == [MODEL]


def test_a_port_that_is_taken_is_told(address: str) -> None:
    port = int(address.rpartition(":")[2].partition("/")[0])
    with pytest.raises(MMModalError, match=f"port {port} cannot be used"), serving(port):
        pass


def test_a_raw_prompt_is_read_as_it_was_written() -> None:
    history = [("text\nWhy?", "So."), ("And?", "Yes.")]
    said = [
        Turn(*turn) for pair in history for turn in zip(("user", "assistant"), pair, strict=True)
    ]
    assert read_raw(format_prompt("Then?", history)) == [*said, Turn("user", "Then?")]
    assert read_raw(format_user(history)) == [*said, Turn("user", "")]


def test_things_and_languages_are_told_by_the_worlds_words() -> None:
    assert things_in("Itu segi empat hijau, and a RED STAR") == [
        Thing("green", "square"),
        Thing("red", "star"),
    ]
    assert (language_of("itu bulatan"), language_of("that is a circle")) == ("ms", "en")
