"""Damage files by the thousand and read them: `make fuzz`, and a test of the default suite.

python packages/core/tests/fuzzing --count 100000 --json build/fuzz.json

The same count gives the same damage. What fails is kept as a file, with what it takes to repeat it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutation import mutate
from seeds import SEEDS

CHUNK = 5_000  # trials of one process
PATIENCE = 30  # seconds without a result after which a process counts as hanging
MOST_FAILURES = 20
ACCEPTED = ("accepted: the same", "accepted: other values", "accepted: another shape")


def main() -> None:
    """Run, print a table, and exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="fuzzing")
    parser.add_argument("--count", type=int, default=2_000, help="trials of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--kinds", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="for what failed")
    options = parser.parse_args()
    start, results = time.perf_counter(), {}
    for kind in options.kinds:
        rows = list(run(kind, options.first, options.count, options.workers, options.keep))
        results[kind] = summary(kind, rows)
        print_table(results[kind])
    results["seconds"] = round(time.perf_counter() - start, 1)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(any(results[kind]["failures"] for kind in options.kinds))


def run(kind: str, first: int, count: int, workers: int, keep: Path) -> Iterator[dict[str, Any]]:
    """Yield the result of each trial."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        files = SEEDS[kind]()
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        starts = range(first, first + count, CHUNK)
        chunks = pool.map(
            lambda start: trials(kind, folder, start, min(start + CHUNK, first + count)), starts
        )
        for row in (row for chunk in chunks for row in chunk):
            if row["failure"]:
                keep.mkdir(parents=True, exist_ok=True)
                place = keep / f"{kind}-{row['number']}-{row['form']}"
                place.write_bytes(mutate([files[name] for name in sorted(files)], row["number"])[1])
                row["file"] = str(place)
            yield row


def trials(kind: str, folder: str, first: int, last: int) -> list[dict[str, Any]]:
    """Run trials in processes of their own, a new one after each that dies or hangs."""
    rows: list[dict[str, Any]] = []
    names = sorted(path.name for path in Path(folder).iterdir())
    while first + len(rows) < last:
        number = first + len(rows)
        found, end = process(kind, folder, number, last)
        rows += found
        if end:
            number += len(found)
            form = names[number % len(names)]
            row = {"number": number, "form": form, "steps": [], "outcome": "failed"}
            rows.append({**row, "failure": end})
        if sum(bool(row["failure"]) for row in rows) > MOST_FAILURES:
            break
    return rows


def process(kind: str, folder: str, first: int, last: int) -> tuple[list[dict[str, Any]], str]:
    """Run one process; return its results, and how it ended if not well."""
    script = Path(__file__).with_name("trial.py")
    command = [sys.executable, str(script), kind, folder, str(first), str(last)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        rows = []
        timer = threading.Timer(PATIENCE, child.kill)
        timer.start()
        for line in child.stdout:
            timer.cancel()
            rows.append(json.loads(line))
            timer = threading.Timer(PATIENCE, child.kill)
            timer.start()
        hung = not timer.is_alive()
        timer.cancel()
        words = child.stderr.read()[-500:]
    if child.returncode == 0:
        return rows, ""
    return rows, f"hung for {PATIENCE} s" if hung else f"ended with {child.returncode}: {words}"


def summary(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what became of the trials of each form."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        forms[row["form"]][row["outcome"]] += 1
    forms = {name: forms[name] for name in sorted(forms)}
    forms["all"] = sum(forms.values(), Counter())
    failures = [row for row in rows if row["failure"]]
    return {
        "kind": kind,
        "trials": len(rows),
        "accepted": rate(forms["all"]),
        "forms": {name: {**forms[name], "accepted": rate(forms[name])} for name in forms},
        "failures": failures[:MOST_FAILURES],
    }


def rate(outcomes: Counter[str]) -> float:
    """Return the share of damaged files that were read without a word."""
    return round(sum(outcomes[name] for name in ACCEPTED) / max(outcomes.total(), 1), 4)


def print_table(result: dict[str, Any]) -> None:
    """Print how much damage of each form goes unseen, and what failed."""
    print(f"{result['kind']:20}{'trials':>8}{'accepted':>10}{'same':>8}{'values':>8}{'shape':>8}")
    for name, counts in result["forms"].items():
        trials = sum(value for key, value in counts.items() if key != "accepted")
        parts = "".join(f"{counts.get(key, 0) / trials:8.1%}" for key in ACCEPTED)
        print(f"{name:20}{trials:8}{counts['accepted']:10.1%}{parts}")
    for row in result["failures"]:
        print(f"FAILED {result['kind']} {row['number']} ({row['form']}): {row['failure']}")
        print(f"       kept as {row.get('file')}")


if __name__ == "__main__":
    main()
