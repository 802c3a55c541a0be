"""Prints the wild: `python -m tests.wild [NAME ...]`, one line per model: the truth, what the audit said, and the outcome."""

import argparse
import logging
import os
import traceback
from collections import Counter
from collections.abc import Sequence

# Before the first import of a backend, which reads these once.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from rich.console import Console
from rich.table import Table

from tests.wild.judging import ACCUSED, FOUND, GOOD, MISSED, SILENT, SKIPPED, UNDERSTATED, UNTESTED, Outcome, examine
from tests.wild.specimens import Specimen, all_specimens

COLUMNS = ("model", "kind of model", "truth: moved by padding", "audit", "with made inputs", "verdict", "seconds")
VERDICTS = (FOUND, SILENT, MISSED, ACCUSED, UNTESTED, SKIPPED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the specimens that are named, or all; return how many were missed or accused."""
    parser = argparse.ArgumentParser(prog="python -m tests.wild", description="Audit models that were not built here.")
    parser.add_argument("names", nargs="*", help="models; all, if none is named")
    names = set(parser.parse_args(arguments).names)
    unknown = names - {one.name for one in all_specimens()}
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # many lengths: it traces often, and says so
    console = Console(width=None if os.isatty(1) else 160)
    outcomes = []
    for one in all_specimens():
        if one.name in names or not names:
            keras.utils.clear_session()
            outcomes.append(attempt(one))
            print(f"{one.name}: {outcomes[-1].verdict}", flush=True)  # noqa: T201
    console.print(table_of(outcomes))
    for line in (*details(outcomes), *summary(outcomes)):
        console.print(line, highlight=False, markup=False)
    return sum(one.verdict in (MISSED, ACCUSED) for one in outcomes)


def attempt(specimen: Specimen) -> Outcome:
    """Examine a specimen; where its truth cannot be measured, say why, and let the others go on."""
    try:
        return examine(specimen)
    except Exception as error:  # of a package, of Keras, or a specimen that is wrong
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(specimen, skipped=f"{type(error).__name__}: {error} ({where.name}, {where.filename})"[:400])


def table_of(outcomes: Sequence[Outcome]) -> Table:
    """Return the table, one row per specimen."""
    table = Table(*COLUMNS)
    for one in outcomes:
        moved = " ".join(f"{kind} {m.size:.0e}" for kind, m in one.truth.items() if m.moved)
        cells = [one.specimen.name, one.specimen.family, moved or "nothing", shown(one.said), shown(one.made), one.verdict]
        table.add_row(*cells, f"{one.seconds:.0f}", style="green" if one.verdict in GOOD else "bold red")
    return table


def shown(said: object) -> str:
    """Return what an audit said, in a few words."""
    codes, verdict = getattr(said, "codes", ()), getattr(said, "verdict", "")
    return " ".join(codes) or str(verdict)


def details(outcomes: Sequence[Outcome]) -> list[str]:
    """Return, for each specimen of which not all is well, what is true, what was said, and why something was not tested."""
    lines: list[str] = []
    for one in outcomes:
        if one.verdict in GOOD and UNDERSTATED not in one.cells.values() and not one.refused:
            continue
        lines += ["", f"{one.specimen.name} ({one.specimen.source}): {one.verdict}", *([one.skipped] if one.skipped else [])]
        for kind, measured in one.truth.items():
            told = f"moved by {measured.size:.1e}, noise {measured.noise:.0e}, {measured.by}"
            lines.append(f"  {kind}: {told}; audit: {one.said.kinds.get(kind, UNTESTED)}; {one.cells[kind]}")
        lines += [f"  {reason}" for reason in one.refused.values()]
        lines += [f"  why: {reason}" for reason in one.said.reasons]
    return lines


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the counts."""
    counts = Counter(one.verdict for one in outcomes)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return ["", f"{len(outcomes)} models on {keras.backend.backend()}: {told}; {sum(one.seconds for one in outcomes):.0f} s"]


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
