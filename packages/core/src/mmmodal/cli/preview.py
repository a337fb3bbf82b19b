"""`mmmodal data preview`: show a conversation as the model reads it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from mmmodal.cli.options import (
    data_argument,
    json_option,
    limit_option,
    read_limits,
    reading_options,
    root_option,
    thoughts_option,
)
from mmmodal.cli.output import example, print_json, talking

if TYPE_CHECKING:
    from mmmodal.records.shard import Shards

__all__ = ["format_preview", "preview_command"]

CONTEXT = 4  # tokens in front of a piece, so that it is decoded as in the middle of a text


class RenderedTokens(Protocol):
    """The attributes of a rendered conversation that a preview needs."""

    @property
    def input_ids(self) -> Sequence[int]: ...

    @property
    def labels(self) -> Sequence[int]: ...


def format_preview(
    rendered: RenderedTokens, tokenizer: Any, slots: Mapping[int, str], *, colour: bool = False
) -> str:
    """Return the text of a conversation with its slots counted and the learned text marked.

    Args:
        rendered: token ids and labels; the label of a token without loss is negative.
        tokenizer: the tokenizer of the ids.
        slots: the modality of each slot token.
        colour: mark learned text as green and underlined instead of by ⟦ ⟧.
    """
    ids = list(rendered.input_ids)
    pieces = []
    start = 0
    pairs = zip(ids, rendered.labels, strict=True)
    for (modality, learned), run in itertools.groupby(
        pairs, lambda pair: (slots.get(pair[0]), pair[1] >= 0)
    ):
        end = start + len(list(run))
        if modality is None:
            text = _printable(_decode(tokenizer, ids, start, end))
            pieces.append(_learned(text, colour) if learned else text)
        else:
            pieces.append(f"[{modality} \N{MULTIPLICATION SIGN}{end - start}]")
        start = end
    return "".join(pieces)


def _decode(tokenizer: Any, ids: Sequence[int], start: int, end: int) -> str:
    """Return the text of a run of tokens in its context; alone it may lose its first space."""
    before = list(ids[max(0, start - CONTEXT) : start])
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    whole: str = tokenizer.decode([*before, *ids[start:end]], **options)
    head: str = tokenizer.decode(before, **options) if before else ""
    if whole.startswith(head):
        return whole[len(head) :]
    alone: str = tokenizer.decode(list(ids[start:end]), **options)
    return alone


def _learned(text: str, colour: bool) -> str:
    return click.style(text, fg="green", underline=True) if colour else f"⟦{text}⟧"


def _printable(text: str) -> str:
    """Return a text with the codes of control characters, which could control the terminal."""
    shown = (
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )
    return "".join(shown)


@click.command(epilog=example("mmmodal data preview captions.jsonl --model my-model -n 3"))
@reading_options
@data_argument("PATH")
@click.option(
    "--model", required=True, type=click.Path(path_type=Path), help="A composed model's folder."
)
@click.option(
    "-n",
    "number",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Number of conversations.",
)
@click.option(
    "--row",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="The first line or row to show.",
)
@json_option
@root_option
@thoughts_option
@limit_option
def preview_command(
    shards: Shards,
    model: Path,
    number: int,
    row: int,
    root: Path | None,
    thoughts: Literal["keep", "drop"],
    limits: tuple[str, ...],
    format: Any,
    root_maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show conversations as a model reads them: slots counted, learned text marked."""
    from mmmodal.errors import RecordError
    from mmmodal.records.dataset import scan

    with talking():
        from mmmodal.making.loading import load_processor
        from mmmodal.samples.dataset import prepare_record

        preparer = load_processor(model).preparer
        preparer.allow(read_limits(limits))
        preparer.learn(thoughts)
    slots = {ids.slot: name for name, ids in preparer.markers.items()}
    scanned = scan(shards, format=format, root_maps=root_maps, root=root)
    # The error of a whole file has the number 0.
    rest = itertools.dropwhile(lambda item: 0 < item.row.number < row, scanned)
    shown: list[dict[str, Any]] = []
    for item in itertools.islice(rest, number):
        if item.error is not None:
            raise item.error
        assert item.record is not None, item
        folder = root or item.folder
        sample = prepare_record(preparer, item.record, item.row.where, folder)
        colour = sys.stdout.isatty() and not as_json
        text = format_preview(sample, preparer.tokenizer, slots, colour=colour)
        shown.append({"row": item.row.where, "tokens": len(sample.input_ids), "text": text})
        if not as_json:
            click.echo(f"── {item.row.where} · {len(sample.input_ids):,} tokens\n{text}\n")
    if not shown:
        raise RecordError(shards.label, f"there is no row {row}")
    if as_json:
        print_json(shown)
