"""`relate`: the relation of two images, two recordings, or one of each (paper §4.1 to 4.3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet
from pydantic import Field, model_validator

from mmmodal.authoring.parts import Config, ConfigError, suggest
from mmmodal.authoring.plugins import registry
from mmmodal_datagen.contracts import (
    Context,
    Piece,
    Refusal,
    Results,
    Row,
    RowContext,
    RowGenerator,
    Sampling,
    Shard,
    ShardFile,
    Turn,
)
from mmmodal_datagen.fingerprints import digest
from mmmodal_datagen.prompts.prompt import Style, asking
from mmmodal_datagen.prompts.wording import Wording, same_languages
from mmmodal_datagen.rows.tables import rows_of
from mmmodal_datagen.steps.relate.answer import (
    Judgement,
    Related,
    RelatedInBoth,
    Wanted,
    plain_answer,
    structured_answer,
)
from mmmodal_datagen.steps.relate.pairs import How
from mmmodal_datagen.steps.relate.plan import plan_pairs
from mmmodal_datagen.steps.relate.wordings import (
    INSTRUCTIONS,
    PAPER_INSTRUCTIONS,
    PAPER_PROMPTS,
    PROMPTS,
    TASK,
    TASK_IN_BOTH,
    PairKind,
)

__all__ = ["Relate", "RelateOptions"]

COLUMNS = ("id", "kind", "media", "groups", "origins", "licence", "source_url", "synthetic")
"""The columns of a row that a pair uses; turns are not among them."""

ID_LENGTH = 32  # hexadecimal digits
FIELD = re.compile(r"\{(first|second|instruction)\}")


class RelateOptions(Config):
    """Which pairs are drawn, and how the model is asked about them."""

    pairs: dict[PairKind, int] = Field(
        {"image-image": 1000, "audio-audio": 1000, "audio-image": 1000}, min_length=1
    )
    """The maximum number of pairs by kind, over all splits; a medium is in one pair of a kind."""

    draw: dict[How, float] = Field({"shared": 0.35, "similar": 0.35, "random": 0.3})
    """The shares of pairs with a common fact, with similar descriptions, and of random ones. Pairs
    that one way does not find are drawn in the next way."""

    shared: tuple[str, ...] = ("group",)
    """The facts that a pair may share: names in records, such as `manufacturer`, or `group`, which
    is the recording that clips were cut from."""

    similarity: float = Field(0.15, ge=0, le=1)
    """The least similarity of descriptions: the cosine of their words by TF-IDF."""

    prompt: Style = "chat"
    """"raw": Mistral's template, for a completion endpoint. "chat": any endpoint."""

    structured: bool = True
    """Ask for JSON that names the relation; otherwise the whole answer is used."""

    malay: bool = False
    """Ask for the answer in Malay too; otherwise `translate` adds it."""

    task: str | None = None
    """The system message; by default the one for `structured` and `malay`."""

    prompts: dict[PairKind, str] = Field(PROMPTS)
    """The prompts, with `{first}` and `{second}`, and optionally `{instruction}`."""

    instructions: dict[PairKind, tuple[Wording, ...]] = Field(INSTRUCTIONS)
    """The user's questions in the new rows; one is drawn for each row."""

    sampling: Sampling = Sampling(temperature=0.3, top_p=0.95, top_k=50, max_tokens=1024)
    attempts: int = Field(3, ge=1)
    """How often an answer is asked for until it can be used."""

    unsaid: tuple[str, ...] = ("caption", "the description", "transcript", "kapsyen", "transkrip")
    """Words in answers that refer to the descriptions instead of the media."""

    @model_validator(mode="after")
    def _every_kind_has_its_words(self) -> RelateOptions:
        if min(self.pairs.values()) < 0:
            raise ValueError("`pairs` must be at least 0")
        if min(self.draw.values(), default=0) < 0 or not sum(self.draw.values()):
            raise ValueError("`draw`: shares must be at least 0, and one of them more")
        for kind in self.pairs:
            _check_modalities(kind)
            if kind not in self.prompts or not self.instructions.get(kind):
                raise ValueError(f"{kind}: give it a prompt and an instruction")
            if not all(f"{{{name}}}" in self.prompts[kind] for name in ("first", "second")):
                raise ValueError(f"{kind}: its prompt lacks `{{first}}` or `{{second}}`")
            if not same_languages(self.instructions[kind]):
                raise ValueError(f"{kind}: its instructions must all be in the same languages")
            if any(each.en is None for each in self.instructions[kind]):
                raise ValueError(f"{kind}: every instruction must be in English, as answers are")
        if self.malay and not self.structured:
            raise ValueError("`malay` needs `structured`, as a plain answer has one language")
        return self


def _check_modalities(pair: str) -> None:
    known = registry().names("modalities")
    for name in pair.split("-"):
        if name not in known:
            raise ValueError(
                f"{pair}: no plugin brings the modality {name!r}{suggest(name, known)}"
            )


class Relate(RowGenerator):
    """Draw pairs of described media, and ask a language model how they are related.

    A pair is drawn within one split. The summary counts the relations by way of drawing.
    """

    name: ClassVar[str] = "relate"
    version: ClassVar[str] = "2"
    needs: ClassVar[tuple[str, ...]] = ("language_model",)
    uses_splits: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = RelateOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "pairs": {"image-image": 100_000, "audio-audio": 25_100, "audio-image": 59_400},
            "draw": {"random": 1.0},
            "prompt": "raw",
            "structured": False,
            "prompts": PAPER_PROMPTS,
            "instructions": PAPER_INSTRUCTIONS,
            "unsaid": (),
        },
    }
    options: RelateOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Draw all pairs, and return them as shards."""
        if not inputs:
            raise ConfigError("relate", ["it has no media to draw from; name its `inputs`"])
        chosen = self.options
        plan = plan_pairs(
            _rows(tuple(inputs)),
            chosen.pairs,
            chosen.draw,
            shared=chosen.shared,
            similarity=chosen.similarity,
            context=context,
        )
        size = context.shard_rows
        parts = [plan.pairs[start : start + size] for start in range(0, len(plan.pairs), size)]
        shards = []
        for index, part in enumerate(parts or [[]]):
            arguments: dict[str, Any] = {"pairs": [list(pair) for pair in part]}
            if index == 0:
                arguments |= {"refused": plan.refused, "notes": plan.notes}
            shards.append(Shard(index, tuple(inputs), arguments))
        return shards

    def rows(self, shard: Shard) -> Iterable[Row]:
        """Yield the shard's pairs as rows without turns."""
        pairs = shard.arguments["pairs"]
        indices = [index for first, second, *_ in pairs for index in (first, second)]
        found = rows_of(_rows(shard.inputs).take(pa.array(indices, pa.int64())))
        for (_, _, how, similarity), first, second in zip(pairs, found, found, strict=True):
            yield _pair(first, second, how, similarity)

    async def run(self, shard: Shard, context: Context) -> Results:
        """Return the answers about a shard's pairs, and the counts of relations."""
        results = await super().run(shard, context)
        found = Counter(name for row in results.rows for name in _counted(row))
        results.notes = {**shard.arguments.get("notes", {}), **found}
        refused = shard.arguments.get("refused", [])
        without = _rows(shard.inputs).take(pa.array([index for index, _ in refused], pa.int64()))
        for row, (_, reason) in zip(rows_of(without), refused, strict=True):
            results.rejected.append(Refusal(context.for_row(row).signed(row), reason))
        return results

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the pair with a question about it and the model's answer."""
        kind = "-".join(medium.kind for medium in row.media)
        wording = context.chance("instruction").choice(self.options.instructions[kind])
        made = await self._related(self._prompt(kind, wording, row), row, context)
        shown = tuple(
            Piece(type=medium.kind, media=index) for index, medium in enumerate(row.media)
        )
        turns = (
            Turn(role="user", content=(*shown, wording.piece())),
            Turn(role="assistant", content=(made.piece,)),
        )
        # A new id: another model or prompt makes another row of the same pair.
        return [row.changed(id="", turns=turns, relation=made.relation)]

    def _prompt(self, kind: PairKind, wording: Wording, row: Row) -> str:
        first, second = (medium.description or "" for medium in row.media)
        values = {"first": first, "second": second, "instruction": wording.en or ""}
        # In one pass, as a description may contain the text of a field.
        return FIELD.sub(lambda found: values[found[1]], self.options.prompts[kind])

    async def _related(self, prompt: str, row: Row, context: RowContext) -> Judgement:
        chosen = self.options
        wanted = Wanted(chosen.attempts, chosen.unsaid, Counter(m.kind for m in row.media))
        form = RelatedInBoth if chosen.malay else Related
        sampling, task = chosen.sampling, chosen.task or ""
        if chosen.structured:
            sampling = sampling.model_copy(update={"json_schema": form.model_json_schema()})
            task = chosen.task or (TASK_IN_BOTH if chosen.malay else TASK)
        ask = asking(context, chosen.prompt, prompt, sampling, system=task)
        return await (
            structured_answer(ask, form, wanted) if chosen.structured else plain_answer(ask, wanted)
        )


@lru_cache(maxsize=1)
def _rows(inputs: tuple[ShardFile, ...]) -> pa.Table:
    """Read the columns that pairs use; cached, as every shard of a process needs some rows."""
    columns = list(COLUMNS)
    read = pa.parquet.read_table
    tables = [read(file.path, columns=columns, use_threads=False) for file in inputs]
    return pa.concat_tables(tables).combine_chunks()


def _pair(first: Row, second: Row, how: str, similarity: float | None) -> Row:
    """Return two media as one row, with the origins, licences and sources of both."""
    licences = {row.licence for row in (first, second)}
    joined = " AND ".join(sorted(name or "unknown" for name in licences))
    sources = {row.source_url for row in (first, second)}
    return Row(
        id=digest([first.id, second.id])[:ID_LENGTH],
        kind="relationship",
        media=(*first.media, *second.media),
        parents=(first.id, second.id),
        groups=tuple(dict.fromkeys((*first.groups, *second.groups))),
        metrics={} if similarity is None else {"similarity": similarity},
        origins=(*first.origins, *second.origins),
        licence=first.licence if len(licences) == 1 else joined,
        source_url=first.source_url if len(sources) == 1 else None,
        meta={"drawn": how},
    )


def _counted(row: Row) -> list[str]:
    """Return the counters of a row: its relation, and its relation by way of drawing."""
    relation = row.relation or "unlabelled"
    return [relation, f"{relation}_of_{(row.meta or {})['drawn']}"]
