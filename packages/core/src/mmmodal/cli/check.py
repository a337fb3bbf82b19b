"""The output of `mmmodal train --check`: data, steps, memory and problems."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mmmodal.byte_sizes import readable
from mmmodal.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mmmodal.train.preflight.estimate import Memory
    from mmmodal.train.preflight.findings import Checked, HeldOutCounts

__all__ = ["print_check"]

KINDS = ("weights", "gradients", "optimizer", "activations", "logits", "total")


def print_check(checked: Checked, as_json: bool) -> None:
    """Print the findings of a check, problems last."""
    if as_json:
        print_json(_as_values(checked))
        return
    if checked.datasets:
        columns = {"path": "DATA", "records": "RECORDS", "weight": "WEIGHT"}
        print_table(
            [{key: _known(value) for key, value in row.items()} for row in checked.datasets],
            {**columns, "in_an_epoch": "IN AN EPOCH"},
        )
    for line in _lines(checked):
        click.echo(line)
    for note in checked.notes:
        click.echo(f"Note: {note}")
    for problem in checked.problems:
        click.echo(f"Problem: {problem}")
    if not checked.problems:
        click.echo("No problems found.")


def _lines(checked: Checked) -> list[str]:
    """Return the counts of a check as lines of text."""
    lines = []
    if checked.trained:
        parts = ", ".join(f"{part} {count:,}" for part, count in checked.trained.items())
        lines.append(f"Trains {sum(checked.trained.values()):,} parameters: {parts}")
    if (lengths := checked.lengths) is not None:
        lines += [
            _epoch(checked),
            f"Conversations: {lengths.mean:,.0f} tokens on average, {lengths.longest:,} at most "
            f"({lengths.where}), of {lengths.measured:,} measured",
        ]
        if lengths.shortened:
            lines.append(f"{lengths.shortened:,} of them are too long and lose their oldest turns")
    if checked.steps is not None and checked.machine is not None:
        ranks = checked.machine.ranks
        processes = f" on {ranks} processes" if ranks > 1 else ""
        lines.append(f"Steps: {checked.steps:,}{processes}{_packs(checked)}")
    if checked.held_out is not None:
        lines.append(_evaluations(checked.held_out, checked.steps))
    if checked.stored_bytes is not None:
        lines.append(
            f"Feature cache: {checked.stored_media:,} media, about {readable(checked.stored_bytes)}"
        )
    if checked.memory is not None and checked.step is not None:
        lines += _memory_lines(checked)
    return lines


def _evaluations(held_out: HeldOutCounts, steps: int | None) -> str:
    count = "" if steps is None else f" {held_out.evaluations(steps):,}, each"
    figures = ", ".join(held_out.metrics)
    answers = f" and {held_out.answers:,} answers" if held_out.answers else ""
    return (
        f"Evaluations:{count} of {held_out.evaluated:,} conversations out of "
        f"{held_out.records:,}, with {held_out.tokens:,} tokens{answers} ({figures})"
    )


def _known(value: Any) -> Any:
    return "streamed" if value is None else value


def _epoch(checked: Checked) -> str:
    if checked.samples is None:
        return "Data are streamed: the number of conversations is not known"
    about = "" if checked.measured_all else "about "
    return f"An epoch: {checked.samples:,} conversations, {about}{checked.tokens:,} tokens"


def _packs(checked: Checked) -> str:
    if checked.packs is None or checked.utilisation is None:
        return ""
    about = "" if checked.measured_all else "about "
    return f", of {about}{checked.packs:,} packs, {checked.utilisation:.1%} full"


def _memory_lines(checked: Checked) -> list[str]:
    assert checked.step is not None and checked.machine is not None
    place = "each GPU" if checked.machine.has_gpu else "this machine"
    step = f"{checked.step.rows} x {checked.step.tokens:,} tokens"
    lines = [f"Memory of {place} in a step of {step}: {_shown(checked.memory)}"]
    if checked.at_most is not None:
        lines.append(f"With all conversations at max_tokens: {_shown(checked.at_most)}")
    if checked.machine.memory is not None:
        lines.append(f"Available: {readable(checked.machine.memory)}")
    return lines


def _shown(memory: Memory | None) -> str:
    assert memory is not None
    parts = ", ".join(f"{kind} {readable(getattr(memory, kind))}" for kind in KINDS[:-1])
    host = f"; main memory {readable(memory.host)}" if memory.host else ""
    return f"{readable(memory.total)} ({parts}){host}"


def _as_values(checked: Checked) -> dict[str, Any]:
    def memory(found: Memory | None) -> Any:
        return None if found is None else {**asdict(found), "total": found.total}

    step = checked.step
    return {
        "ok": not checked.problems,
        "problems": checked.problems,
        "notes": checked.notes,
        "data": checked.datasets,
        "trained_parameters": checked.trained,
        "lengths": checked.lengths and asdict(checked.lengths),
        "conversations_in_an_epoch": checked.samples,
        "tokens_in_an_epoch": checked.tokens,
        "steps": checked.steps,
        "packs": checked.packs,
        "utilisation": checked.utilisation,
        "evaluation": checked.held_out and asdict(checked.held_out),
        "feature_cache_bytes": checked.stored_bytes,
        "step": step and {"rows": step.rows, "tokens": step.tokens},
        "machine": checked.machine and asdict(checked.machine),
        "memory": memory(checked.memory),
        "memory_at_max_tokens": memory(checked.at_most),
    }
