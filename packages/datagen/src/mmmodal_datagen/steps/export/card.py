"""The data card: counts of the rows by origin, and their known weaknesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import yaml

from mmmodal_datagen.contracts import Call, Row

__all__ = ["Facts", "card"]

WEAKNESSES = {
    "transcribe": "Transcripts were made by a speech recogniser and not read by a person; what is "
    "said about a clip follows from them, right or wrong.",
    "dialogue": "Questions and answers were written by a language model that saw a description of "
    "the medium, never the medium itself. Nobody checked them.",
    "visual-qa": "Answers about images repeat captions or metadata records, and may name what the "
    "image does not show.",
    "relate": "What relates two media was judged by a language model from their descriptions.",
    "translate": "Malay texts were translated by a machine. They may read unlike what people say, "
    "and Indonesian words pass for Malay.",
    "compose": "Sessions join rows that have nothing to do with each other.",
}


@dataclass
class Facts:
    """Counts over the exported rows: content, licences, sources, steps and models."""

    rows: Counter[str] = field(default_factory=Counter)
    """By split."""

    kinds: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    """Rows with texts in each language."""

    relations: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    models: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Calls by model, revision and step; a call that several rows share counts once."""

    calls: set[tuple[str, str]] = field(default_factory=set)
    """The counted calls, by step and request."""

    synthetic: int = 0

    def add(self, row: Row, split: str) -> None:
        """Count a row."""
        self.rows[split] += 1
        self.kinds[row.kind] += 1
        self.media.update(medium.kind for medium in row.media)
        texts = [piece for piece in row.pieces() if piece.text is not None]
        malay = all(piece.text_ms is not None for piece in texts)
        self.languages.update(
            {piece.lang or "en" for piece in texts} | ({"ms"} if malay else set())
        )
        if row.relation:
            self.relations[row.relation] += 1
        self.licences[row.licence or "unknown"] += 1
        self.sources[row.source_url or "not stated"] += 1
        self.synthetic += row.synthetic
        for step in {(origin.step, origin.version) for origin in row.origins}:
            self.steps[step] += 1
        for origin in row.origins:
            for call in origin.calls:
                self._count(origin.step, call)

    def _count(self, step: str, call: Call) -> None:
        if (step, call.request_sha256) not in self.calls:
            self.calls.add((step, call.request_sha256))
            self.models[call.model, call.revision or "", step] += 1


def card(title: str, facts: Facts, files: Mapping[str, str]) -> str:
    """Return the README of a data set.

    Args:
        title: the first heading.
        facts: counts over the rows.
        files: a pattern of the files of each split.
    """
    head: dict[str, object] = {
        "language": sorted(facts.languages),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": path} for name, path in files.items()],
            }
        ],
    }
    if len(facts.licences) == 1 and "unknown" not in facts.licences:
        head["license"] = next(iter(facts.licences)).lower()
    steps = {name: f"version {version}" for name, version in sorted(facts.steps)}
    models = {
        f"{model}{f' ({revision})' if revision else ''}, called by {step}": count
        for (model, revision, step), count in sorted(facts.models.items())
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n",
        f"# {title}\n",
        f"{sum(facts.rows.values()):,} rows, of which a model wrote {facts.synthetic:,}.\n",
        _table("Splits", facts.rows),
        _table("Kinds of rows", facts.kinds),
        _table("Media", facts.media),
        _table("Languages (rows that have texts in it)", facts.languages),
        _table("Licences", facts.licences),
        _table("Sources", facts.sources),
        _table("Steps they went through", steps),
        _table("Models that were called", models),
        "## Known weaknesses\n\n" + (_weaknesses(facts, steps) or "None known."),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _weaknesses(facts: Facts, steps: Collection[str]) -> str:
    weak = [text for step, text in WEAKNESSES.items() if step in steps]
    if unknown := facts.licences["unknown"]:
        weak.append(f"The licence of {unknown:,} rows is not known; ask before publishing them.")
    if facts.relations:
        shares = ", ".join(f"{count:,} {name}" for name, count in sorted(facts.relations.items()))
        weak.append(f"Of the rows about relations, the balance is: {shares}.")
    return "\n".join(f"* {text}" for text in weak)


def _table(title: str, values: Mapping[str, object]) -> str:
    if not values:
        return ""
    shown = (f"{value:,}" if isinstance(value, int) else str(value) for value in values.values())
    lines = [f"| {name or 'all'} | {value} |" for name, value in zip(values, shown, strict=True)]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *sorted(lines), ""])
