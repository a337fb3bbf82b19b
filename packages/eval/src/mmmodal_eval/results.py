"""The results of an evaluation: what each case came to, and the figures of all."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mmmodal.authoring.parts import Config

__all__ = ["CaseResult", "ControlResult", "Figure", "Gain", "Outcome", "Results"]

Outcome = Literal["scored", "empty", "cut off", "failed", "unscored"]
"""`scored`: a whole answer; `empty`: an answer without text, and `cut off`: one that reached its
maximum length, both scored as they are; `failed`: there is no answer, as a medium could not be
read or the endpoint failed; `unscored`: the scorer failed. The last two are in no figure."""


class ControlResult(Config):
    """What the same question came to under a control, such as exchanged images."""

    answer: str | None
    outcome: Outcome
    counts: tuple[float, ...] | None = None
    note: str = ""


class CaseResult(Config):
    """One scored question: a line of `cases.jsonl`."""

    record: str
    """The id of the record."""

    turn: int
    """The number of the user's turn, from 0."""

    where: str
    """The file and row."""

    scorer: str
    options: dict[str, Any] = Field({})
    cluster: str
    lang: str | None = None
    modalities: tuple[str, ...] = ()
    media: int = 0
    tags: tuple[str, ...] = ()
    question: str
    references: tuple[str, ...]
    choices: tuple[str, ...] = ()
    answer: str | None
    outcome: Outcome
    counts: tuple[float, ...] | None = None
    """What the scorer adds up; None without a score."""

    read: str | None = None
    note: str = ""
    """The error, or what the scorer notes."""

    digest: str = ""
    """What the case asks, as a digest of messages, media and expectation: cases of two runs with
    the same digest are the same question."""

    controls: dict[str, ControlResult] = Field({})
    """By name of the control: `image exchanged`, `image left out`, `question exchanged` …"""


class Figure(Config):
    """One figure with its interval: of all cases of a scorer, or of a slice of them."""

    scorer: str
    slice: dict[str, str] = Field({})
    """What its cases have in common, as in {"lang": "ms"}; empty for all."""

    control: str | None = None
    """The control under which the questions were asked; None: as they are."""

    cases: int
    clusters: int
    value: float
    low: float | None
    high: float | None
    """The ends of the 95 % interval; None if there are too few clusters for one."""

    method: str
    """How the interval was computed, as in `t, 120 clusters` or `Wilson`."""


class Gain(Config):
    """What a modality, or the question, adds: the figure minus that under the control, paired."""

    scorer: str
    slice: dict[str, str] = Field({})
    control: str
    cases: int
    clusters: int
    value: float
    low: float | None
    high: float | None
    method: str


class Results(Config):
    """The results of one model on one data set: `results.json`."""

    name: str
    """The name of the model in tables."""

    model: dict[str, Any]
    """What answered: its folder or endpoint, the digest of its weights, its parts."""

    data: dict[str, Any]
    """What was asked: path, digest, numbers of records and cases."""

    settings: dict[str, Any]
    """How it was asked: history, generation settings, limits."""

    figures: tuple[Figure, ...]
    gains: tuple[Gain, ...] = ()
    outcomes: dict[Outcome, int]
    signatures: dict[str, str]
    """What the figure of each scorer depends on."""

    versions: dict[str, str]
    """The versions of the packages that scored."""
