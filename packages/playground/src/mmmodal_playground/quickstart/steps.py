"""The steps of a quickstart; a step that is done is not run again.

Everything is written under one folder: `data`, `start` (the composed model), `aligned`, `model`,
`evaluation`, `results.json` and `report.html`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.files import write_whole
from mmmodal.authoring.parts import MMModalError
from mmmodal_playground.dialogues import TASKS, Dialogue
from mmmodal_playground.records import dialogues, quizzes, write_records
from mmmodal_playground.things import TALKS

if TYPE_CHECKING:
    from mmmodal_eval import Evaluated

__all__ = ["Interrupted", "Quickstart", "Sizes"]

LIKE_WORDS = {"scale": "words"}
"""The option of both projectors: with other sizes than words' the model fails for several media."""

STRIDES = {"kernel": 12, "stride": 6}
"""The options of the audio projector: a word of this world takes 1/3 s, which is 16 positions."""

LAST = {"select_layer": -1, "post_norm": True}
"""The option of the audio encoder: in so shallow a tower only the last layer represents words."""

LONGEST = 32  # maximum tokens of an answer
DIALOGUES = 0.45
"""The share of natural dialogues in stage 2; the others have more questions about their media."""

TEST_SEED = 1_000_000_000
Report = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """The numbers of conversations of a quickstart."""

    align: int = 6000
    """Conversations about one to three media, two thirds clips, which are harder than pictures."""

    instruct: int = 4600
    """Dialogues: a share of natural ones, the others with more questions."""

    tested: int = 200
    """Held-out dialogues of each task and language."""


class Interrupted(MMModalError):
    """Training was stopped by a signal; `signal` is its name."""

    def __init__(self, signal: str, out: Path) -> None:
        self.signal = signal
        super().__init__(f"stopped by {signal}; run the same command again to resume in {out}")


@dataclass(frozen=True)
class Quickstart:
    """One quickstart in its folder."""

    out: Path
    seed: int
    report: Report
    sizes: Sizes = Sizes()

    def begin(self) -> None:
        """Create the folder, or check that an earlier call with the same settings created it.

        Raises:
            MMModalError: the folder has other content, or was begun with other settings.
        """
        noted = self.out / "quickstart.json"
        settings = {"seed": self.seed, **asdict(self.sizes)}
        if noted.is_file():
            try:
                before = json.loads(noted.read_text(encoding="utf-8"))
            except ValueError:
                raise MMModalError(
                    f"{noted} is damaged; remove {self.out} and start again"
                ) from None
            if before != settings:
                raise MMModalError(
                    f"{self.out} was begun with other settings ({_short(before)}, now "
                    f"{_short(settings)}); choose another --out, or remove it"
                )
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise MMModalError(f"{self.out} exists and is not a quickstart; choose another --out")
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(noted, settings)

    def make_data(self) -> None:
        """Write the conversations of both stages and the held-out ones."""
        sizes, seed = self.sizes, self.seed
        shown = quizzes(sizes.align, seed=seed, turns=5, media=3, heard=0.65, meant=0.3)
        self._write("align", shown)
        many = round(DIALOGUES * sizes.instruct)
        talked = dialogues(many, split="train", seed=seed)
        more = sizes.instruct - many
        asked = quizzes(more, seed=seed, turns=8, media=4, heard=0.65, compared=0.5, meant=0.4)
        self._write("instruct", chain(talked, asked))
        tested = self.sizes.tested * len(TASKS) * len(TALKS)
        self._write("test", dialogues(tested, split="test", seed=TEST_SEED + self.seed))

    def _write(self, name: str, made: Iterable[Dialogue]) -> None:
        folder = self.out / "data" / name
        if folder.exists():
            return
        self.report(f"drawing and speaking the conversations in {folder}")
        working = folder.with_name(f".{name}")
        shutil.rmtree(working, ignore_errors=True)
        write_records(working, made, name)
        working.rename(folder)

    def compose(self) -> None:
        """Compose the model from the trained parts."""
        import mmmodal

        folder = self.out / "start"
        if not folder.exists():
            self.report(f"composing SigLIP, Whisper and Llama in {folder}")
            mmmodal.compose(
                folder,
                backbone="playground-llama",
                encoders={
                    "image": "playground-siglip",
                    "audio": mmmodal.Part(name="playground-whisper", options=LAST),
                },
                projectors={
                    "image": mmmodal.Part(name="linear", options=LIKE_WORDS),
                    "audio": mmmodal.Part(name="conv", options={**STRIDES, **LIKE_WORDS}),
                },
            )

    def train(self, stage: str, start: str, end: str) -> float:
        """Run one stage as `mmmodal train` does; return its total duration in seconds.

        Raises:
            Interrupted: a signal stopped it; a checkpoint was written.
        """
        from mmmodal.authoring.training import load_recipe, run_stage

        out, metrics = self.out / end, self.out / end / "run" / "metrics.jsonl"
        if not (out / "config.json").exists():
            self.report(f"training {out}")
            values = {
                "model": self.out / start,
                "data": self.out / "data" / stage / "records.jsonl",
                "out": out,
                "seed": self.seed,
            }
            recipe = str(files(__package__) / "recipes" / f"{stage}.yaml")
            outcome = run_stage(load_recipe(recipe, [f"{k}={v}" for k, v in values.items()]))
            if outcome.interrupted_by is not None:
                raise Interrupted(outcome.interrupted_by, self.out)
        return _seconds(read_lines(metrics))

    def evaluate(self, name: str, controls: Sequence[str] = ()) -> Evaluated:
        """Return the evaluation of a model on the held-out conversations.

        Answers are kept, and not asked for twice.

        Args:
            name: the folder of the model.
            controls: the controls under which the questions are asked again.
        """
        from mmmodal_eval import evaluate

        out = self.out / "evaluation"
        if not (out / name / "results.json").exists():
            self.report(f"asking {self.out / name} for {out / name}")
        data = self.out / "data" / "test" / "records.jsonl"
        (found,) = evaluate(self.out / name, data, out, controls=controls, max_new_tokens=LONGEST)
        return found

    def curves(self) -> dict[str, list[dict[str, Any]]]:
        """Return the logs of both stages."""
        folders = {"align": "aligned", "instruct": "model"}
        return {
            stage: read_lines(self.out / folder / "run" / "metrics.jsonl")
            for stage, folder in folders.items()
        }


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text, errors="replace")


def read_lines(path: Path) -> list[Any]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _seconds(rows: list[dict[str, Any]]) -> float:
    return sum(float(row.get("train_runtime", 0.0)) for row in rows)


def _short(settings: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in settings.items()) if isinstance(settings, dict) else "?"
