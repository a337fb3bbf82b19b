"""Dialogues about images say what their captions and records say, in one language or in both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from language_server import Reply, serving
from mmmodal.cli.main import run
from mmmodal.errors import ConfigError
from mmmodal_datagen.rows.records import records_of
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_datagen.steps.visual_qa.templates import written
from one_step import made, run_step, steps_on
from worlds import PAPER_EXAMPLES, write_lines

NMAX = [
    {
        "Manufacturer": "Yamaha",
        "Model": 2016,
        "Generation": "Yamaha NMAX (2016)",
    },
    {"Type": "Scooter", "Colour Available": ["Grey", "Red"]},
    {
        "Dimension": "1,955 x 740 x 1,115 mm",
        "Wheelbase": "1,350 mm",
        "Weight": "136 kg",
        "Seat Height": "765 mm",
        "Ground Clearance": "135 mm",
        "Meter Display": "Digital - Speedometer, Fuel Gauge",
    },
    {
        "Engine": "4-Stroke, SOHC",
        "Displacement": "155 CC",
        "No Of Cylinders": "1-Cylinder",
        "Compression Ratio": "10.5 : 1",
        "Bore x Stroke": "58mm x 58.7mm",
        "Max Power": "11.1 kW @ 8,000 RPM",
        "Max Torque": "14.4 Nm @ 6,000 RPM",
        "Transmission": "Automatic, CVT",
        "Clutch": "Dry, centrifugal, Shoe",
        "Ignition System": "Transistor Coil Ignition (TCI)",
        "Starting System": "Electric Starter",
        "Cooling System": "Liquid Cooled",
        "Fuel System": "Fuel Injection",
        "Fuel Capacity": "6.6 Liters",
    },
    {
        "Features": {
            "Type": "Underbone",
            "Front Suspension": "Telescopic",
            "Rear Suspension": "Unit Swing",
            "Front Brake": "Disc",
            "Rear Brake": "Disc",
            "Front Tire": "110/70-13",
            "Rear Tire": "130/70-13",
        }
    },
]
"""The record of the paper's example, as a page's table is scraped."""

BILINGUAL = {
    "exchanges": [
        {
            "ask": [
                {"en": "What model is this?", "ms": "Ini model apa?"},
                {"en": "Which motorcycle is it?", "ms": "Motosikal apakah ini?"},
            ],
            "answer": {"en": "It is a {description}.", "ms": "Ini ialah {description}."},
        },
        {
            "ask": {"en": "How strong is it?", "ms": "Berapa kuat?"},
            "answer": {"en": "{engine.Max Power}.", "ms": "{engine.Max Power}."},
        },
    ]
}


def texts(row: Any) -> list[str]:
    return [piece.text for piece in row.pieces() if piece.text is not None]


def test_the_papers_motorcycle_comes_out_of_its_record(tmp_path: Path) -> None:
    example = json.loads(PAPER_EXAMPLES.read_text().splitlines()[1])
    row = {
        "image": example["image"],
        "title": "Yamaha NMAX (2016)",
        "specification": NMAX,
        "source_url": example["image_url"],
    }
    outcome = run_step(tmp_path, [row], "visual-qa", preset="paper")
    (found,) = made(outcome)
    (record,) = records_of(found)
    said = [
        {
            "role": message.role,
            "content": "".join("<image>" if p.text is None else p.text for p in message.content),
        }
        for message in record.messages
    ]
    assert said == example["conversations"]
    assert [ref.uri for ref in record.media] == [example["image"]]
    assert (record.lang, found.source_url) == ("ms", example["image_url"])
    assert not found.synthetic  # no model wrote it


def test_a_table_that_is_text_already_stays_as_it_is() -> None:
    example = json.loads(PAPER_EXAMPLES.read_text().splitlines()[1])
    table = example["conversations"][3]["content"]
    assert written(table) == table == written(NMAX)


def test_a_template_in_both_languages_makes_a_row_in_both(tmp_path: Path) -> None:
    rows = [
        {"image": f"{n}.jpg", "title": f"Honda C{n}", "engine": {"Max Power": f"{n} kW"}}
        for n in range(12)
    ]
    options = {"templates": [BILINGUAL]}
    found = made(run_step(tmp_path, rows, "visual-qa", options=options))
    english, malay = records_of(found[0])
    assert [m.content[-1].text for m in english.messages][1:] == [
        "It is a Honda C0.",
        "How strong is it?",
        "0 kW.",
    ]
    assert [m.content[-1].text for m in malay.messages][1:] == [
        "Ini ialah Honda C0.",
        "Berapa kuat?",
        "0 kW.",
    ]
    asked = {texts(row)[0] for row in found}
    assert asked == {"What model is this?", "Which motorcycle is it?"}
    again = made(run_step(tmp_path / "again", rows, "visual-qa", options=options))
    assert [row.turns for row in again] == [row.turns for row in found]


def test_captions_are_answers_by_default(tmp_path: Path) -> None:
    outcome = run_step(tmp_path, [{"image": "a.jpg", "caption": "a red circle"}], "visual-qa")
    (row,) = made(outcome)
    assert texts(row)[1] == "a red circle"
    assert [piece.type for piece in row.turns[0].content] == ["image", "text"]
    assert row.kind == "visual_qa" and row.turns[1].content[0].lang == "en"


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "title": "Honda"},
        {"image": "b.jpg"},
        {"image": "c.jpg", "title": "Honda", "specification": {}},
        {"audio": "d.mp3", "transcript": "x"},
    ]
    outcome = run_step(tmp_path, rows, "visual-qa", preset="paper")
    assert outcome.reasons == {
        "no field 'description' and 'specification'": 1,
        "no field 'specification'": 2,
        "not one image": 1,
    }


def test_a_record_takes_the_template_that_it_has_the_fields_for(tmp_path: Path) -> None:
    other = {"exchanges": [{"ask": {"en": "What is it?"}, "answer": {"en": "{dish}"}}]}
    rows = [{"image": "a.jpg", "dish": "nasi lemak"}, {"image": "b.jpg", "title": "kuih"}]
    templates = [other, {"exchanges": [{"ask": {"en": "Eh?"}, "answer": {"en": "{description}"}}]}]
    outcome = run_step(tmp_path, rows, "visual-qa", options={"templates": templates})
    assert [texts(row)[1] for row in made(outcome)] == ["nasi lemak", "kuih"]


def test_what_stands_in_a_record_is_never_taken_for_a_field(tmp_path: Path) -> None:
    row = {"image": "a.jpg", "caption": "{secret} {0} {description.__class__}", "secret": "no"}
    (found,) = made(run_step(tmp_path, [row], "visual-qa"))
    assert texts(found)[1] == row["caption"]


def test_a_template_of_mixed_languages_is_refused(tmp_path: Path) -> None:
    mixed = {"exchanges": [{"ask": {"ms": "Apa?"}, "answer": {"en": "{description}"}}]}
    with pytest.raises(ConfigError, match="in the same languages"):
        run_step(tmp_path, [], "visual-qa", options={"templates": [mixed]})


def dialogue(number: int = 3, answer: str = "A red circle.") -> str:
    said = [{"question": f"What is it {n}?", "answer": answer} for n in range(number)]
    return json.dumps({"dialogue": said})


def test_a_language_model_writes_from_all_that_is_known(tmp_path: Path) -> None:
    row = {"image": "a.jpg", "title": "Honda", "engine": {"power": "9 kW"}}
    with serving(lambda request, number: Reply(text=f"```json\n{dialogue()}\n```")) as server:
        options = {"language": "ms"}
        outcome = run_step(
            tmp_path, [row], "visual-qa", server=server, preset="language-model", options=options
        )
    (found,) = made(outcome)
    assert texts(found)[:2] == ["What is it 0?", "A red circle."]
    assert len(found.turns) == 6 and found.synthetic
    assert {piece.lang for piece in found.pieces()} == {None, "ms"}
    (request,) = server.requests
    system, user = request["messages"]
    assert "Write 3 questions" in system["content"] and "in Malay" in system["content"]
    assert user["content"] == "engine:\npower: 9 kW\ndescription: Honda"
    assert request["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(text=dialogue(), finish_reason="length"), "answer ended by length"),
        (Reply(text=dialogue()[:-3]), "invalid JSON"),
        (Reply(text='{"dialog": []}'), "JSON of another form"),
        (Reply(text=dialogue(2)), "another number of questions"),
        (Reply(text=dialogue(answer=" ")), "empty answer"),
        (Reply(text=dialogue(answer="By the caption, red.")), "speaks of the description"),
        (Reply(text=dialogue(answer="Red.</s>")), "template tags in the answer"),
        (Reply(text=""), "empty answer"),
    ],
)
def test_what_is_no_dialogue_is_asked_for_again_and_then_rejected(
    tmp_path: Path, bad: Reply, reason: str
) -> None:
    def reply(request: dict[str, Any], number: int) -> Reply:
        hopeless = "hopeless" in request["messages"][-1]["content"]
        return bad if hopeless or number == 0 else Reply(text=dialogue())

    rows = [{"image": f"{name}.jpg", "caption": name} for name in ("a", "hopeless")]
    with serving(reply) as server:
        outcome = run_step(
            tmp_path,
            rows,
            "visual-qa",
            server=server,
            preset="language-model",
            options={"attempts": 2},
        )
        assert (outcome.rows, outcome.reasons) == (1, {reason: 1})
        assert len(server.requests) == 4


def test_a_template_needs_no_model_and_a_model_is_asked_for_where_one_is_needed(
    tmp_path: Path,
) -> None:
    steps = {"visual-qa": {"inputs": ["rows"]}}
    run_pipeline(steps_on(tmp_path, [{"image": "a.jpg", "caption": "red"}], steps))
    with pytest.raises(ConfigError, match="it needs a language_model"):
        run_step(tmp_path, [], "visual-qa", preset="language-model")


def test_the_step_runs_from_the_command_line_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"image": "a.jpg", "caption": "a red circle"}, {"image": "b.jpg"}]
    path = tmp_path / "images.jsonl"
    write_lines(path, rows)
    assert run(["datagen", "visual-qa", str(path), "-o", str(tmp_path / "out"), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["reasons"]) == (1, {"no field 'description'": 1})
