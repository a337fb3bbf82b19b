"""`mmmodal data guess`: how the rows of a file become records, as an entry of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mmmodal.cli.options import data_argument, json_option
from mmmodal.cli.output import example, print_json

if TYPE_CHECKING:
    from mmmodal.contracts.record import Record
    from mmmodal.records.shard import Shards

__all__ = ["guess_command"]

SHOWN = 3  # rows
LONGEST = 200  # characters of a text


@click.command("guess", epilog=example("mmmodal data guess captions.parquet"))
@data_argument("PATH")
@json_option
def guess_command(shards: Shards, as_json: bool) -> None:
    """Print how the rows of PATH become records: its entry in a recipe, and three records.

    The first 100 rows are looked at. Why it guesses so is told on stderr.
    """
    import yaml

    from mmmodal.errors import RecordError
    from mmmodal.records.guess import guess

    if shards.format is not None:
        reason = "it says itself what its rows hold, so there is nothing to guess; read it as it is"
        raise RecordError(shards.label, reason)
    found = guess(shards.shards[0].path())
    entry = {"path": shards.label, "format": found.format, **found.options}
    for reason in found.reasons:
        click.echo(reason, err=True)
    shown = [(where, _turns(record)) for where, record in found.records[:SHOWN]]
    if as_json:
        rows = [{"where": where, "turns": turns} for where, turns in shown]
        print_json({"data": [entry], "rows": rows, "reasons": found.reasons})
        return
    text = yaml.safe_dump({"data": [entry]}, sort_keys=False, allow_unicode=True)
    click.echo(text, nl=False)
    for where, turns in shown:
        click.echo(f"\n# {where}")
        for turn in turns:
            lines = f"{turn['role']}: {turn['text']}".splitlines()
            click.echo("\n".join(f"#   {line}" for line in lines))


def _turns(record: Record) -> list[dict[str, Any]]:
    """Return the turns of a record as text, with each medium in brackets."""
    from mmmodal.records.json_text import printable

    turns = []
    for message in record.messages:
        pieces = []
        for part in message.content:
            if part.media is None:
                text = part.text or ""
                pieces.append(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
            else:
                pieces.append(
                    f"[{part.type}: {printable(record.media[part.media].uri)[:LONGEST]}] "
                )
        turns.append({"role": message.role, "text": "".join(pieces)})
    return turns
