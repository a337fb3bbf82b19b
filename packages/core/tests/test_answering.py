"""Many dialogues asked together are answered as each would be alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

import mmmodal
from mmmodal.answering import Answer, Dialogue, answer_dialogues, answer_records, plan_batches
from mmmodal.contracts.record import Message, Record
from mmmodal.errors import ConfigError, MediaError, RenderError
from mmmodal.model.modeling import MMModalForConditionalGeneration
from worlds import RATE, ROOT, clip, picture, record, write_lines

LONGEST = 6
IMAGE, SOUND = ("image", "1.png"), ("audio", "1.wav")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and clips: `copy.png` has the bytes of `1.png`, `bad.png` is damaged."""
    folder = tmp_path_factory.mktemp("media")
    for seed in (1, 2):
        picture(seed).save(folder / f"{seed}.png")
        soundfile.write(folder / f"{seed}.wav", clip(seed).samples, RATE)
    shutil.copy(folder / "1.png", folder / "copy.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


Turn = tuple[Any, ...]
"""The media and the text of a question; an answer of the record is a single text."""


def talk(name: str, *turns: Turn | str) -> Record:
    """Return a record of questions, each with its media in front of its text, and answers."""
    media: list[dict[str, str]] = []
    messages = []
    for turn in turns:
        *shown, text = (turn,) if isinstance(turn, str) else turn
        content: list[dict[str, Any]] = []
        for kind, uri in shown:
            content.append({"type": kind, "media": len(media)})
            media.append({"kind": kind, "uri": uri})
        content.append({"type": "text", "text": text})
        role = "assistant" if isinstance(turn, str) else "user"
        messages.append({"role": role, "content": content})
    return Record.model_validate({"id": name, "messages": messages, "media": media})


TALKS = [
    talk("one", (IMAGE, "What is this?"), "a dog", (("image", "2.png"), SOUND, "and these?"), "it"),
    talk("two", ("Hello",), "Hi there", ("Tell me more about it, please",), "no", ("Why?",), "so"),
    talk("three", (SOUND, ("audio", "2.wav"), "What do you hear in both of these clips?"), "beeps"),
    talk("four", (("image", "2.png"), "?"), "a", ("b",), "c", (IMAGE, "d"), "e", ("f",), "g"),
]


def asked(
    model: MMModalForConditionalGeneration, dialogues: list[Dialogue], **how: Any
) -> list[list[Answer]]:
    """Return the answers to all dialogues, in their order."""
    found = dict(answer_dialogues(model, dialogues, **{"max_new_tokens": LONGEST, **how}))
    return [found[index] for index in range(len(dialogues))]


def said(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def chatted(
    model: MMModalForConditionalGeneration, each: Record, root: Path, **how: Any
) -> list[tuple[str, bool]]:
    """Return the answers of a chat, and whether each is whole."""
    chat = mmmodal.Chat(model, root=root, **{"max_new_tokens": LONGEST, **how})
    found = []
    for message in each.messages:
        if message.role == "user":
            parts = [
                part.text
                if part.media is None
                else {"type": part.type, "path": each.media[part.media].uri}
                for part in message.content
            ]
            found.append((chat.say(parts), not chat.cut_short))
    return found


def alone(
    model: MMModalForConditionalGeneration, each: Record, until: int, root: Path
) -> dict[str, torch.Tensor]:
    """Return the model's input for the prompt behind the first messages of a record."""
    preparer = model.processor.preparer
    messages = each.messages[:until]
    media = [(ref.kind, preparer.read(ref.kind, ref.address, root=root)) for ref in each.media]
    sample = preparer.prepare(messages, media, add_generation_prompt=True)
    batch = preparer.collate([sample])
    del batch["labels"]
    return batch


def generated(
    model: MMModalForConditionalGeneration, each: Record, turn: int, root: Path, longest: int
) -> list[int]:
    """Return the ids of the answer to a turn behind the record's own answers."""
    prompt = alone(model, each, 2 * turn + 1, root)
    ids = model.generate(**prompt, max_new_tokens=longest, do_sample=False)
    new: list[int] = ids[0, prompt["input_ids"].shape[1] :].tolist()
    return new


@pytest.fixture(params=["llama", "qwen2", "mistral"])
def other(request: pytest.FixtureRequest, composed: Callable[[str], Path]) -> Any:
    """A model of each family; Mistral's keeps no past, as its window slides."""
    return mmmodal.load(composed(request.param))


SETTINGS: list[dict[str, Any]] = [
    {},
    {"max_new_tokens": 1},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 3},
    {"stop_strings": ["e", "a"]},
    {"num_beams": 2},
    {"use_cache": False},
]


def test_answers_are_those_of_a_chat(other: MMModalForConditionalGeneration, root: Path) -> None:
    """Also where settings look at the prompt, so that nothing is kept of it."""
    dialogues = [Dialogue(each, root) for each in TALKS]
    for how in SETTINGS:
        for each, answers in zip(TALKS, asked(other, dialogues, **how), strict=True):
            wanted = chatted(other, each, root, **how)
            assert [(answer.text, answer.is_whole) for answer in answers] == wanted, how
            assert not any(answer.left_out or answer.error for answer in answers)


def test_rows_that_ended_leave_and_the_others_go_on(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    """With an end that comes early in some answers, of more rows than stay together."""
    records = [*TALKS, *(talk(f"more {n}", (f"Say {n * 7}",), "", ("more",)) for n in range(16))]
    dialogues = [Dialogue(each, root) for each in records]
    first = [generated(model, each, 0, root, 12) for each in records]
    counts = {id_: sum(id_ in ids for ids in first) for ids in first for id_ in ids}
    end = min(counts, key=lambda id_: abs(counts[id_] - len(first) / 2))
    how = {"max_new_tokens": 12, "eos_token_id": end}
    answers = asked(model, dialogues, **how)
    whole = [answer.is_whole for each in answers for answer in each]
    assert any(whole) and not all(whole)
    for each, found in zip(records, answers, strict=True):
        wanted = chatted(model, each, root, **how)
        assert [(answer.text, answer.is_whole) for answer in found] == wanted
        assert all(answer.tokens == 12 for answer in found if not answer.is_whole)
        assert all(answer.tokens < 12 for answer in found if answer.is_whole)


@contextmanager
def read_by(module: torch.nn.Module, size: Callable[[Any], int]) -> Iterator[list[int]]:
    """Yield a list that fills with the size of what each call of a module reads."""
    sizes: list[int] = []

    def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sizes.append(size((*args, *kwargs.values())))

    hook = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def test_a_later_turn_reads_only_what_is_new(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    (embedding,) = {model.get_input_embeddings()}
    with read_by(embedding, lambda given: given[0].shape[1]) as widths:
        asked(model, [Dialogue(TALKS[3], root)])
    prompts = [width for width in widths if width > 1]
    whole = [alone(model, TALKS[3], until, root)["input_ids"].shape[1] for until in (1, 3, 5, 7)]
    assert prompts[0] == whole[0] and len(prompts) == 4
    assert all(new < old for new, old in zip(prompts[1:], whole[1:], strict=True))


def test_equal_media_of_a_batch_are_encoded_once(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    same = [
        talk("a", (IMAGE, "What?"), "", (("image", "copy.png"), "And this?")),
        talk("b", (("image", "copy.png"), "What?"), "", (SOUND, "And this?")),
    ]
    dialogues = [Dialogue(each, root) for each in same]
    with read_by(model.model.tower("image"), lambda given: len(given[0])) as pictures:
        answers = asked(model, dialogues)
    assert pictures == [1]
    assert [said(each) for each in answers] == [
        [text for text, _ in chatted(model, each, root)] for each in same
    ]


@pytest.mark.parametrize("batch_size", [1, 100])
def test_gold_history_is_that_of_the_record(
    other: MMModalForConditionalGeneration, root: Path, batch_size: int
) -> None:
    dialogues = [Dialogue(each, root, history="gold") for each in TALKS]
    tokenizer = other.processor.tokenizer
    for each, answers in zip(TALKS, asked(other, dialogues, batch_size=batch_size), strict=True):
        for turn, answer in enumerate(answers):
            new = generated(other, each, turn, root, LONGEST)
            assert answer.text == tokenizer.decode(new, skip_special_tokens=True).strip()


def test_system_messages_stay_where_they_are(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    plain = talk("a", ("Hello",), "Hi")
    told = plain.model_copy(
        update={"messages": (message("system", "Be brief. Always."), *plain.messages)}
    )
    ((first,), (second,)) = asked(model, [Dialogue(plain, root), Dialogue(told, root)])
    chat = mmmodal.Chat(model, system="Be brief. Always.", max_new_tokens=LONGEST)
    assert second.text == chat.say("Hello")
    assert first.text == mmmodal.Chat(model, max_new_tokens=LONGEST).say("Hello")


def message(role: str, text: str) -> Message:
    content = [{"type": "text", "text": text}]
    return Message.model_validate({"role": role, "content": content})


BAD, GONE = ("image", "bad.png"), ("image", "gone.png")
LONG = ("so many words " * 900,)
"""A turn that exceeds the context of tiny models, which is 2,048 tokens."""

ERRORS: dict[str, tuple[Record, list[type[Exception] | None], list[type[Exception] | None]]] = {
    "a damaged picture in the first turn": (
        talk("x", (BAD, "a"), "b", ("c",), "d"),
        [MediaError, MediaError],
        [MediaError, MediaError],
    ),
    "no picture in the third turn": (
        talk("x", ("a",), "b", (IMAGE, "c"), "d", (GONE, "e"), "f", ("g",), "h"),
        [None, None, MediaError, MediaError],
        [None, None, MediaError, MediaError],
    ),
    "a later medium comes first in the record": (
        Record.model_validate(
            {
                "id": "x",
                "messages": [
                    {"role": "user", "content": [{"type": "image", "media": 1}]},
                    {"role": "user", "content": [{"type": "image", "media": 0}]},
                ],
                "media": [{"kind": "image", "uri": "gone.png"}, {"kind": "image", "uri": "1.png"}],
            }
        ),
        [None, MediaError],
        [None, MediaError],
    ),
    "outside of the root": (
        talk("x", (("image", "../secret.png"), "a"), "b"),
        [MediaError],
        [MediaError],
    ),
    "a modality that the model does not have": (
        talk("x", ("a",), "b", (("video", "1.mp4"), "c"), "d"),
        [None, RenderError],
        [None, RenderError],
    ),
    "a turn that is too long": (
        talk("x", ("a",), "b", LONG, "c", ("d",), "e"),
        [None, RenderError, RenderError],
        [None, RenderError, None],
    ),
}


@pytest.mark.parametrize("history", ["own", "gold"])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_that_of_the_turns_concerned(
    model: MMModalForConditionalGeneration, root: Path, name: str, history: Any
) -> None:
    bad, own, gold = ERRORS[name]
    wanted = own if history == "own" else gold
    dialogues = [Dialogue(each, root, history=history) for each in (TALKS[0], bad, TALKS[1])]
    first, found, last = asked(model, dialogues, on_error="keep")
    assert [answer.error and type(answer.error) for answer in found] == wanted
    assert all(answer.text == "" and not answer.is_whole for answer in found if answer.error)
    good = asked(model, [dialogues[0], dialogues[2]])
    assert [said(first), said(last)] == [said(each) for each in good]
    with pytest.raises(next(each for each in wanted if each)):
        asked(model, dialogues)


def test_what_is_said_before_an_error_is_kept(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    begun, bad = talk("x", ("a",)), talk("x", ("a",), "b", (GONE, "c"), "d")
    ((answer,), (first, second)) = asked(
        model, [Dialogue(begun, root), Dialogue(bad, root)], on_error="keep"
    )
    assert first.text == answer.text and first.tokens > 0
    assert "gone.png" in str(second.error)


def failing(*given: Any) -> Any:
    raise RuntimeError("a mistake in a program")


def full(*given: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("error", [failing, full])
def test_other_errors_are_raised(
    model: MMModalForConditionalGeneration, root: Path, error: Callable[..., Any]
) -> None:
    with pytest.raises(RuntimeError, match=r"a mistake|out of memory"):
        asked(model, [Dialogue(TALKS[0], root)], on_error="keep", logits_processor=[error])


def many_turns(count: int = 60) -> Record:
    turns = [(("some words " * 12).strip(),) if n % 2 == 0 else "yes" for n in range(2 * count)]
    return talk("long", *turns)


def test_turns_left_out_are_counted_and_told_once(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    records = [many_turns(), TALKS[1], many_turns(50)]
    answers = asked(model, [Dialogue(each, root, history="gold") for each in records])
    assert answers[0][0].left_out == 0 < answers[0][40].left_out < answers[0][59].left_out
    assert not any(answer.left_out for answer in answers[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = answer_records(model, records, root, max_new_tokens=2)
    (warning,) = [str(each.message) for each in caught]
    assert "the oldest turns of 2 of 3 conversations were left out of" in warning
    assert "to fit the model's context of 2048" in warning
    assert warnings_of_chat(model, records[0], root) == texts[0]


def warnings_of_chat(model: MMModalForConditionalGeneration, each: Record, root: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [text for text, _ in chatted(model, each, root, max_new_tokens=2)]


def test_an_answer_ends_with_the_context_though_others_go_on(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    words = 0
    while alone(model, talk("x", ("a " * (words + 8),)), 1, root)["input_ids"].shape[1] < 2044:
        words += 8
    near = talk("x", ("a " * words,))
    left = 2048 - alone(model, near, 1, root)["input_ids"].shape[1]
    dialogues = [Dialogue(near, root), Dialogue(TALKS[1], root)]
    ((cut,), others) = asked(model, dialogues, max_new_tokens=40)
    assert left < 40 and cut.tokens == left and not cut.is_whole
    assert [(answer.text, answer.is_whole) for answer in others] == chatted(
        model, TALKS[1], root, max_new_tokens=40
    )
    assert cut.text == chatted(model, near, root, max_new_tokens=40)[0][0]


CHOICES = ("yes", "yes it is", "yes it is a dog", "no", "a green triangle", "B", "yes")


def likelihood(
    model: MMModalForConditionalGeneration, each: Record, turn: int, choice: str, root: Path
) -> float:
    """Return the log-probability of an answer by one forward pass of what training would learn."""
    preparer = model.processor.preparer
    messages = (*each.messages[: 2 * turn + 1], message("assistant", choice))
    media = [(ref.kind, preparer.read(ref.kind, ref.address, root=root)) for ref in each.media]
    start = alone(model, each, 2 * turn + 1, root)["input_ids"].shape[1]
    batch = preparer.collate([preparer.prepare(messages, media)])
    labels = batch.pop("labels")[0]
    with torch.no_grad():
        scores = model(**batch).logits[0].float().log_softmax(-1)
    (end,) = preparer.renderer.turn_end_ids()
    places = [at for at in range(start, len(labels)) if labels[at] not in (-100, end)]
    return sum(float(scores[at - 1, labels[at]]) for at in places)


def test_likelihoods_are_those_of_a_forward_pass_alone(
    other: MMModalForConditionalGeneration, root: Path
) -> None:
    dialogues = [
        Dialogue(TALKS[0], root, "gold", {0: CHOICES[:2], 1: CHOICES}),
        Dialogue(TALKS[1], root, "gold", {2: ("A", "B", "C", "D")}),
        Dialogue(TALKS[2], root, "gold"),
        Dialogue(TALKS[3], root, "gold", {3: CHOICES[::-1]}),
    ]
    for batch_size in (100, 3):
        found = asked(other, dialogues, batch_size=batch_size)
        for dialogue, answers in zip(dialogues, found, strict=True):
            for turn, answer in enumerate(answers):
                wanted = [
                    likelihood(other, dialogue.record, turn, choice, root)
                    for choice in dialogue.choices.get(turn, ())
                ]
                assert answer.likelihoods == pytest.approx(wanted, abs=1e-4, rel=0)


def test_choices_of_one_token_are_read_in_one_row(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    letters = Dialogue(TALKS[0], root, choices={0: ("A", "B", "C", "D")})
    with read_by(model.model.language_model, lambda given: 0) as calls:
        asked(model, [letters], max_new_tokens=1)
    with read_by(model.model.language_model, lambda given: 0) as without:
        asked(model, [Dialogue(TALKS[0], root)], max_new_tokens=1)
    assert len(calls) == len(without) + 1


@pytest.mark.parametrize(
    ("record", "choices", "told"),
    [
        (TALKS[0], ("yes", ""), "nothing of the answer '' would be learned"),
        (TALKS[0], ("yes", "long " * 3000), "the choice 'long long"),
    ],
)
def test_a_choice_that_cannot_follow_is_an_error_of_its_turn(
    model: MMModalForConditionalGeneration,
    root: Path,
    record: Record,
    choices: tuple[str, ...],
    told: str,
) -> None:
    dialogue = Dialogue(record, root, "gold", {0: choices, 1: ("yes",)})
    ((first, second),) = asked(model, [dialogue], on_error="keep")
    assert told in str(first.error) and first.likelihoods == ()
    assert second.error is None and len(second.likelihoods) == 1
    with pytest.raises(RenderError, match=told):
        asked(model, [dialogue])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"history": "golden"}, "the history 'golden' is unknown (known: own, gold)"),
        ({"choices": {2: ("a",)}}, "choices are given for user turn 2, but there are 2 of them"),
        ({"choices": {-1: ("a",)}}, "choices are given for user turn -1"),
    ],
)
def test_an_impossible_dialogue_is_refused(given: dict[str, Any], told: str, root: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Dialogue(TALKS[0], root, **given)
    assert told in str(caught.value) and "dialogue one" in str(caught.value)


def test_settings_are_checked_before_anything_is_asked(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    with pytest.raises(ConfigError, match="output_scores"):
        answer_dialogues(model, [], output_scores=True)
    with pytest.raises(ConfigError, match="the size must be at least 1, not 0"):
        answer_dialogues(model, [], batch_size=0)


def test_batches_are_planned_over_all_and_may_be_given(
    model: MMModalForConditionalGeneration, root: Path
) -> None:
    dialogues = [Dialogue(each, root) for each in TALKS]
    assert plan_batches(dialogues, 3) == [[1, 2, 3], [0]]
    finished: list[int] = []
    how: Mapping[str, Any] = {"max_new_tokens": LONGEST, "progress": finished.append}
    found = list(answer_dialogues(model, dialogues, batch_size=3, skip={2, 3}, **how))
    assert [index for index, _ in found] == [1, 0] and finished == [1, 1]
    given = list(answer_dialogues(model, dialogues, batches=[[3], [0, 1]], **how))
    assert [index for index, _ in given] == [3, 0, 1] and finished == [1, 1, 1, 2]
    answers = dict(given)
    assert all(said(answers[index]) == said(each) for index, each in found)


def test_each_process_answers_its_batches(
    model: MMModalForConditionalGeneration, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogues = [Dialogue(each, root) for each in TALKS]
    whole = dict(answer_dialogues(model, dialogues, batch_size=1, max_new_tokens=LONGEST))
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(
            dict(answer_dialogues(model, dialogues, batch_size=1, max_new_tokens=LONGEST))
        )
    assert [list(share) for share in shares] == [[1, 0], [2], [3]]
    assert {index: each for share in shares for index, each in share.items()} == whole
    assert len(answer_records(model, TALKS, root, max_new_tokens=1)) == len(TALKS)


SHARE = """
import json, sys
from pathlib import Path
import torch
import mmmodal
from mmmodal.authoring.records import Record
from mmmodal.authoring.training import Dialogue, answer_dialogues
from mmmodal.ranks import everyones, rank

torch.distributed.init_process_group("gloo")
folder, root, out = map(Path, sys.argv[1:])
records = [Record.model_validate_json(line) for line in (out / "rows.jsonl").open()]
dialogues = [Dialogue(record, root, choices={0: ("yes", "no")}) for record in records]
model = mmmodal.load(folder, device="cpu")
share = {
    index: [[answer.text, answer.likelihoods] for answer in answers]
    for index, answers in answer_dialogues(model, dialogues, batch_size=2, max_new_tokens=6)
}
shares = everyones(share)
if rank() == 0:
    (out / "shares.json").write_text(json.dumps(shares))
torch.distributed.destroy_process_group()
"""


def test_two_processes_of_torchrun_answer_as_one_does(
    start: Path, model: MMModalForConditionalGeneration, root: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "rows.jsonl", [each.model_dump(exclude_none=True) for each in TALKS])
    (tmp_path / "share.py").write_text(SHARE, encoding="utf-8")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *command, tmp_path / "share.py", start, root, tmp_path],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shares = json.loads((tmp_path / "shares.json").read_text(encoding="utf-8"))
    assert [sorted(share) for share in shares] == [["1", "2"], ["0", "3"]]
    dialogues = [Dialogue(each, root, choices={0: ("yes", "no")}) for each in TALKS]
    found = answer_dialogues(model, dialogues, batch_size=2, max_new_tokens=LONGEST)
    one = {index: [[a.text, list(a.likelihoods)] for a in answers] for index, answers in found}
    assert {int(index): each for share in shares for index, each in share.items()} == one


def test_an_adapter_answers_and_computes_likelihoods(
    start: Path, root: Path, tmp_path: Path
) -> None:
    from mmmodal.train.recipe import load_recipe
    from mmmodal.train.stage.stage import run_stage

    rows = [record(str(n), IMAGE, asked="What is it?", answer="a red circle") for n in range(4)]
    data = write_lines(root / "rows.jsonl", rows)
    values = [f"model={start}", f"data={data}", f"out={tmp_path / 'adapter'}"]
    fast = ["max_steps=3", "learning_rate=0.02", "batch_size=2", "max_tokens=512"]
    run_stage(load_recipe("lora", [*values, *fast]))
    adapted, plain = mmmodal.load(tmp_path / "adapter"), mmmodal.load(start)
    dialogues = [Dialogue(TALKS[0], root, "gold", {0: ("a red circle", "no")})]
    ((answer, _),), ((before, _),) = asked(adapted, dialogues), asked(plain, dialogues)
    assert answer.likelihoods[0] > before.likelihoods[0] + 1
    wanted = [likelihood(adapted, TALKS[0], 0, choice, root) for choice in ("a red circle", "no")]
    assert answer.likelihoods == pytest.approx(wanted, abs=1e-4, rel=0)
    assert [text for text, _ in chatted(adapted, TALKS[2], root)] == said(
        asked(adapted, [Dialogue(TALKS[2], root)])[0]
    )


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantized_model_answers_and_computes_likelihoods(
    start: Path, root: Path, bits: str
) -> None:
    quantized = mmmodal.load(start, quantization=bits)
    dialogues = [Dialogue(each, root, choices={0: ("yes", "no")}) for each in TALKS]
    for answers in asked(quantized, dialogues):
        assert all(answer.tokens for answer in answers) and all(answers[0].likelihoods)
