"""The client of endpoints: how many calls it makes at once, and what it makes of every answer."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from language_server import Reply, serving
from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint, OpenAIOptions
from mmmodal_datagen.backends.openai_parameters import Parameters
from mmmodal_datagen.backends.openai_refusals import Refusal
from mmmodal_datagen.backends.rate import Rate
from mmmodal_datagen.contracts import BackendError, ChatTurn, Completion, Sampling, StopRun
from mmmodal_datagen.prompts.answers import unfit


def test_as_many_calls_are_open_as_are_allowed() -> None:
    at_once = 130

    async def ask_all(url: str) -> None:
        endpoint = OpenAIEndpoint(OpenAIOptions(model="m", base_url=url, concurrency=at_once))
        calls = [endpoint.complete(f"{index}", Sampling()) for index in range(at_once)]
        await asyncio.gather(*calls)
        await endpoint.aclose()

    with serving() as server:
        gate = threading.Barrier(at_once)  # no call is answered before all are there
        server.reply = lambda request, number: (gate.wait(60), Reply(text=" yes"))[1]
        asyncio.run(ask_all(server.url))


def test_too_many_requests_slow_the_calls_down_and_they_recover() -> None:
    rate = Rate(16)
    rate.slow_down(begun=time.monotonic(), pause_s=0)
    assert int(rate.limit) == 12
    begun = time.monotonic() - 1
    rate.slow_down(begun, pause_s=0)
    assert int(rate.limit) == 12  # it was open when the limit shrank
    for _ in range(20):
        rate.slow_down(time.monotonic(), pause_s=0)
        time.sleep(0.001)
    assert rate.limit == 1
    for _ in range(25 * 40):
        rate.answered()
    assert rate.limit == 16


def ask(url: str, sampling: Sampling, number: int = 1, **options: Any) -> list[Completion]:
    """Return the answers to equal chats, one after the other."""

    async def run() -> list[Completion]:
        settings = {"model": "m", "base_url": url, "retries": 0, "rate_retries": 1} | options
        endpoint = OpenAIEndpoint(OpenAIOptions(**{"backoff_s": 0.01, **settings}))
        turns = [ChatTurn(role="user", content="?")]
        try:
            return [await endpoint.chat(turns, sampling) for _ in range(number)]
        finally:
            await endpoint.aclose()

    return asyncio.run(run())


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
    body = value if isinstance(value, str) else json.dumps(value)
    return Reply(status=status, body=body.encode(), headers=headers)


def answer(message: Any, **choice: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"message": message, **choice}]}


THINKING = [{"type": "text", "text": "Let me see."}]


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Merah.", "reasoning_content": "Let me see."},
        {"content": "Merah.", "reasoning": "Let me see.", "reasoning_details": THINKING},
        {"content": "Merah.", "thinking": "Let me see."},
        {"content": [{"type": "text", "text": "Me"}, {"type": "text", "text": "rah."}]},
        {
            "content": [
                {"type": "thinking", "thinking": THINKING},
                {"type": "text", "text": "Merah."},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "text": "Let me see."},
                {"type": "output_text", "text": "Merah."},
            ]
        },
        {"content": [{"type": "redacted_thinking", "data": "x"}, "Merah."]},
        {"content": [{"text": "Let me see.", "thought": True}, {"text": "Merah."}]},
        {"content": [{"type": "text", "text": {"value": "Merah."}}]},
        {"content": "<think>Let me see.</think>Merah."},
        {"content": [{"type": "text", "text": "<think>Let me see.</think>Merah."}]},
    ],
)
def test_an_answer_is_the_text_of_the_message_and_no_thought(message: dict[str, Any]) -> None:
    with serving(lambda *_: reply(answer(message, finish_reason="stop"))) as server:
        (made,) = ask(server.url, Sampling())
    assert (made.text, unfit(made, made.text)) == ("Merah.", "")


def test_an_answer_without_the_content_type_of_json_is_read() -> None:
    plain = {"content-type": "text/plain"}
    with serving(lambda *_: reply(answer({"content": "Merah."}), 200, **plain)) as server:
        assert ask(server.url, Sampling())[0].text == "Merah."


def test_a_message_of_thoughts_alone_is_no_answer() -> None:
    message = {"content": None, "reasoning_content": "Merah."}
    with serving(lambda *_: reply(answer(message, finish_reason="stop"))) as server:
        (made,) = ask(server.url, Sampling())
    assert unfit(made, made.text) == "empty answer"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ({"finish_reason": "eos_token"}, "eos_token"),
        ({"finish_reason": None}, "unknown"),
        ({}, "unknown"),
        ({"finish_reason": {"type": "stop"}}, "unknown"),
    ],
)
def test_the_servers_word_for_an_end_is_kept(reason: dict[str, Any], expected: str) -> None:
    with serving(lambda *_: reply(answer({"content": "Ya."}, **reason))) as server:
        (made,) = ask(server.url, Sampling())
    assert (made.finish_reason, unfit(made, made.text)) == (expected, "")


def test_an_answer_of_all_tokens_without_a_reason_counts_as_cut_off() -> None:
    whole = answer({"content": "Ya, me"}) | {"usage": {"completion_tokens": 4}}
    with serving(lambda *_: reply(whole)) as server:
        (made,) = ask(server.url, Sampling(max_tokens=4))
    assert made.ending == "cut"


def test_an_unknown_end_is_accepted_and_told_of_once() -> None:
    with (
        serving(lambda *_: reply(answer({"content": "Ya."}, finish_reason="tomorrow"))) as server,
        pytest.warns(UserWarning, match="'tomorrow' are taken for whole") as told,
    ):
        made = ask(server.url, Sampling(), number=3)
    assert [unfit(each, each.text) for each in made] == [""] * 3
    assert len(told) == 1


def test_an_answer_that_broke_off_is_asked_for_again() -> None:
    broken = answer({"content": "Y"}, finish_reason="insufficient_system_resource")
    with serving(lambda _, n: reply(broken) if n == 0 else Reply(text="Ya.")) as server:
        assert ask(server.url, Sampling(), retries=1)[0].text == "Ya."


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3)),
        ({"prompt_tokens": 7.0, "completion_tokens": "3"}, (7, 3)),
        ({"prompt_tokens": "7.0", "completion_tokens": None}, (7, None)),
        ({"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}, (7, None)),
        ({"prompt_tokens": "many", "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": {"text": 7}, "completion_tokens": [3]}, (None, None)),
        ([7, 3], (None, None)),
        (None, (None, None)),
    ],
)
def test_counts_of_tokens_are_read_in_any_form(
    usage: Any, expected: tuple[int | None, int | None]
) -> None:
    whole = answer({"content": "Ya."}, finish_reason="stop") | {"usage": usage}
    with serving(lambda *_: reply(whole)) as server:
        (made,) = ask(server.url, Sampling())
    assert (made.input_tokens, made.output_tokens) == expected


FULL = Sampling(temperature=0.3, top_p=1.0, top_k=50, max_tokens=99, stop=("###",), seed=1)


def openai_error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | fields}


@pytest.mark.parametrize(
    ("status", "refusal", "name", "other"),
    [
        (400, openai_error("Unrecognized request argument supplied: top_k"), "top_k", None),
        (400, openai_error("Unknown parameter: 'top_k'.", param="top_k"), "top_k", None),
        (400, openai_error("property 'top_k' is unsupported"), "top_k", None),
        (400, openai_error('Unknown name "topK": Cannot find field.'), "top_k", None),
        (
            400,
            openai_error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            ),
            "max_tokens",
            "max_completion_tokens",
        ),
        (
            400,
            openai_error(
                "Unsupported value: 'temperature' does not support 0.3 with this model. Only the "
                "default (1) value is supported.",
                param="temperature",
                code="unsupported_value",
            ),
            "temperature",
            None,
        ),
        (
            400,
            openai_error("Unsupported parameter: 'stop' is not supported with this model."),
            "stop",
            None,
        ),
        (
            400,
            {
                "object": "error",
                "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'Extra inputs are not permitted', 'input': 50}]",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
            "top_k",
            None,
        ),
        (
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "top_k"],
                        "msg": "Extra inputs are not permitted",
                        "input": 50,
                    }
                ]
            },
            "top_k",
            None,
        ),
        (
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "seed"],
                            "msg": "Extra inputs are not permitted",
                        }
                    ]
                },
            },
            "seed",
            None,
        ),
        (
            422,
            {
                "detail": [
                    {
                        "loc": ["body", "top_k"],
                        "msg": "extra fields not permitted",
                        "type": "value_error.extra",
                    }
                ]
            },
            "top_k",
            None,
        ),
        (
            422,
            "Failed to deserialize the JSON body into the target type: unknown field `top_k`, "
            "expected one of `messages`, `model`, `temperature`, `top_p` at line 1 column 80",
            "top_k",
            None,
        ),
        (
            422,
            {
                "error": "Input validation error: `top_p` must be > 0.0 and < 1.0",
                "error_type": "validation",
            },
            "top_p",
            None,
        ),
        (
            400,
            openai_error("`temperature` and `top_p` cannot both be specified for this model."),
            "top_p",
            None,
        ),
        (
            400,
            {"message": "litellm.UnsupportedParamsError: m does not support parameters: ['seed']"},
            "seed",
            None,
        ),
    ],
)
def test_a_parameter_that_is_refused_is_left_out_or_renamed_and_told_of_once(
    status: int, refusal: Any, name: str, other: str | None
) -> None:
    def answered(request: dict[str, Any], number: int) -> Reply:
        return reply(refusal, status) if name in request else Reply(text="Ya.")

    with serving(answered) as server, pytest.warns(UserWarning, match=f"`{name}` is ref") as told:
        made = ask(server.url, FULL, number=3)
    assert len(told) == 1 and len(server.requests) == 4
    first, *others = server.requests
    for request in others:
        assert first.keys() - request.keys() == {name}
        assert request.keys() - first.keys() == ({other} if other else set())
        assert request.get(other or name) == (first[name] if other else None)
    assert [each.left_out for each in made] == [() if other else (name,)] * 3


def test_every_parameter_that_is_refused_is_left_out() -> None:
    known = {"model", "messages", "max_completion_tokens", "path"}

    def answered(request: dict[str, Any], number: int) -> Reply:
        unknown = sorted(request.keys() - known)
        return (
            reply(openai_error(f"unknown argument: {unknown[0]}"), 400)
            if unknown
            else Reply(text="Ya.###No")
        )

    with serving(answered) as server, pytest.warns(UserWarning) as told:
        (made,) = ask(server.url, FULL)
    assert len(told) == 6
    assert made.left_out == ("seed", "stop", "temperature", "top_k", "top_p")
    assert (made.text, made.finish_reason) == ("Ya.", "stop")


@pytest.mark.parametrize(
    ("refusal", "sampling", "extra"),
    [
        (
            openai_error(
                "'response_format' of type 'json_schema' is not supported with this model."
            ),
            Sampling(json_schema={"type": "object"}),
            {},
        ),
        (openai_error("Unrecognized request argument supplied: min_p"), Sampling(), {"min_p": 0.1}),
        (openai_error("Unknown parameter: 'top_k'."), Sampling(), {"top_k": 5}),
    ],
)
def test_a_parameter_that_makes_a_difference_is_not_left_out(
    refusal: dict[str, Any], sampling: Sampling, extra: dict[str, Any]
) -> None:
    with serving(lambda *_: reply(refusal, 400)) as server:
        with pytest.raises(StopRun, match="without which the answers would be others: .*"):
            ask(server.url, sampling, extra_body=extra)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("'temperature' must be at most 1", "endpoint refuses temperature (400)"),
        ("'max_tokens' is too large: 99. This model has 8.", "endpoint refuses max_tokens (400)"),
        ("This model's maximum context length is 8 tokens.", "endpoint refuses (400)"),
        ("The room temperature is not supported in prompts; stop it.", "endpoint refuses (400)"),
    ],
)
def test_a_refused_value_is_not_replaced_by_another(message: str, reason: str) -> None:
    with serving(lambda *_: reply(openai_error(message), 400)) as server:
        with pytest.raises(BackendError, match=re.escape(f"{reason}: {message}")):
            ask(server.url, FULL)
        assert len(server.requests) == 1


def test_openai_itself_is_sent_only_what_it_takes() -> None:
    theirs = Parameters("https://api.openai.com/v1")
    drawn = {"temperature": 0.3, "top_k": 50, "max_tokens": 9}
    chat = {"temperature": 0.3, "max_completion_tokens": 9}
    assert theirs.accepted("/chat/completions", drawn) == chat
    assert theirs.accepted("/completions", drawn) == {"temperature": 0.3, "max_tokens": 9}
    assert theirs.left_out("/chat/completions", drawn) == ("top_k",)
    assert Parameters("http://localhost:8000/v1").accepted("/chat/completions", drawn) == drawn


@pytest.mark.parametrize(
    ("status", "refusal", "what"),
    [
        (
            429,
            openai_error("You exceeded your current quota.", code="insufficient_quota"),
            "quota is used up",
        ),
        (
            429,
            {"error": {"message": "please recharge", "type": "exceeded_current_quota_error"}},
            "quota is used up",
        ),
        (
            402,
            {"error": {"message": "Insufficient Balance", "type": "unknown_error"}},
            "quota is used up",
        ),
        (400, {"error": {"message": "Your credit balance is too low."}}, "quota is used up"),
        (
            404,
            openai_error("The model 'm' does not exist.", code="model_not_found"),
            "no such model",
        ),
        (404, "404 page not found", "no such model or path"),
        (
            400,
            {"object": "error", "message": "Invalid model: m", "type": "invalid_model"},
            "no such model",
        ),
        (400, openai_error("Model Not Exist"), "no such model"),
        (403, openai_error("Project has no access to m", code="model_not_found"), "no such model"),
        (401, openai_error("Incorrect API key provided", code="invalid_api_key"), "key is refused"),
        (403, {"detail": "Forbidden"}, "key is refused"),
        (
            400,
            {"error": {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}},
            "key is refused",
        ),
        (200, {"error": {"message": "Insufficient credits", "code": 402}}, "quota is used up"),
    ],
)
def test_what_every_call_would_be_refused_for_ends_the_run_at_once(
    status: int, refusal: Any, what: str
) -> None:
    said = Refusal(status, json.dumps(refusal) if isinstance(refusal, dict) else refusal, {}).words
    with serving(lambda *_: reply(refusal, status)) as server:
        with pytest.raises(StopRun, match=what) as caught:
            ask(server.url, FULL, retries=5, rate_retries=5)
        assert len(server.requests) == 1
    assert str(caught.value).count(said) == 1


def test_a_filter_refuses_one_call_and_not_all() -> None:
    azure = {"error": {"message": "filtered", "code": "content_filter", "status": 400}}
    router = {"error": {"code": 403, "message": "Your input was flagged", "metadata": {}}}
    for status, refusal in ((400, azure), (403, router)):
        with serving(lambda *_, r=refusal, s=status: reply(r, s)) as server:  # type: ignore[misc]
            (made,) = ask(server.url, FULL)
        assert unfit(made, made.text) == "answer ended by a filter"


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (429, {"retry-after": "0.4"}, {}),
        (429, {"retry-after-ms": "400"}, openai_error("You exceeded your current quota")),
        (429, {"retry-after": "0.4"}, openai_error("You exceeded your current quota, 3 a minute")),
        (429, {}, {"error": {"message": "quota", "details": [{"retryDelay": "0.4s"}]}}),
        (503, {"retry-after": "0.4"}, {}),
        (529, {"retry-after": "0.4"}, {}),
    ],
)
def test_a_busy_endpoint_is_asked_again_when_it_says(
    status: int, headers: dict[str, str], body: dict[str, Any]
) -> None:
    times: list[float] = []

    def answered(request: dict[str, Any], number: int) -> Reply:
        times.append(time.monotonic())
        return reply(body, status, **headers) if len(times) == 1 else Reply(text="Ya.")

    with serving(answered) as server:
        assert ask(server.url, Sampling(), retries=1)[0].text == "Ya."
    assert times[1] - times[0] >= 0.4


def test_a_date_to_ask_again_at_is_read() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert Refusal(503, "", {"retry-after": at}).retry_after == pytest.approx(29, abs=3)
    assert Refusal(503, "", {"retry-after": "soon"}).retry_after is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-very-secret", "No\n  'credit' for (the key in MY_KEY), \"m\" <b> é."),
        ("credit", "No\n  'credit' for sk-very-secret, \"m\" <b> é."),  # too short for a secret
    ],
)
def test_the_servers_words_are_shown_as_they_are_but_for_the_key(
    key: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    words = "No\n  'credit' for sk-very-secret, \"m\" <b> é."
    with (
        serving(lambda *_: reply(openai_error(words, code="insufficient_quota"), 429)) as server,
        pytest.raises(StopRun) as caught,
    ):
        ask(server.url, Sampling(), api_key_env="MY_KEY")
    assert str(caught.value).endswith(f"(429): {said}")
