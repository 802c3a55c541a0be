"""Prints the zoo: `python -m tests.zoo [NAME ...]`, one line per model, and the counts of found, missed and false alarms."""

import argparse
import os
from collections import Counter
from collections.abc import Sequence

# Before the first import of a backend, which reads these once.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from tests.zoo.animals import Animal, all_animals
from tests.zoo.keeping import Outcome, accused_by_chance, examine, forget_models

COLUMNS = ("animal", "problem", "truth", "Keras warned", "audit", "verdict")
GOOD = ("found", "silent", "no padding")


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the animals that are named, or all; return how many were missed, accused wrongly, or could not be audited."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description="Audit every animal and say what was found.")
    parser.add_argument("names", nargs="*", help="animals; all, if none is named")
    parser.add_argument("--seeds", type=int, default=0, help="audit the healthy ones with so many other weights")
    options = parser.parse_args(arguments)
    names = set(options.names)
    unknown = names - {one.name for one in all_animals()}
    if unknown:
        parser.error(f"no such animal: {', '.join(sorted(unknown))}")
    console = Console(width=None if os.isatty(1) else 140)
    if options.seeds:
        return of_chance([one for one in all_animals() if one.name in names or not names], options.seeds, console)
    outcomes: list[Outcome] = []
    table = Table(*COLUMNS)
    errors = 0
    for animal in [one for one in all_animals() if one.name in names or not names]:
        forget_models()
        try:
            outcome = examine(animal)
        except Exception as error:  # one animal that cannot be audited must not hide the others
            table.add_row(animal.name, animal.problem, truth_of(animal), "", f"{type(error).__name__}: {error}"[:200], "error")
            errors += 1
            continue
        outcomes.append(outcome)
        table.add_row(*row(outcome), style="green" if outcome.verdict in GOOD else "bold red")
    console.print(table)
    for line in summary(outcomes):
        console.print(line)
    return errors + sum(one.verdict in ("missed", "false alarm") for one in outcomes)


def of_chance(animals: Sequence[Animal], seeds: int, console: Console) -> int:
    """Audit the healthy animals with other weights; return how often one was accused, which is by rounding."""
    healthy, accused = [one for one in animals if not one.faults], 0
    for one in healthy:
        for seed in range(1, seeds + 1):
            forget_models()
            codes = accused_by_chance(one, seed)
            accused += bool(codes)
            if codes:
                console.print(f"{one.name}, seed {seed}: {' '.join(codes)}")
    console.print(f"{len(healthy)} healthy animals, {seeds} seeds: {accused} of {len(healthy) * seeds} accused")
    return accused


def truth_of(animal: Animal) -> str:
    """Return what brute force found, in a few words."""
    return " ".join(sorted(animal.faults)) or "healthy"


def row(outcome: Outcome) -> list[str]:
    """Return the cells of an animal."""
    animal = outcome.animal
    codes = " ".join(sorted({f"{one.code}({one.severity})" for one in outcome.findings or ()}))
    return [animal.name, animal.problem, truth_of(animal), "yes" if outcome.warned else "no", codes, outcome.verdict]


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the counts, of the audit and of Keras's warning."""
    n_faulty = sum(bool(one.animal.faults) for one in outcomes)
    lines = [f"{len(outcomes)} animals: {n_faulty} faulty, {len(outcomes) - n_faulty} healthy"]
    judges = {"masklib audit": [one.verdict for one in outcomes], "Keras's warning": [one.peer_verdict for one in outcomes]}
    for judge, verdicts in judges.items():
        counts = Counter(verdicts)
        lines.append(f"{judge}: {counts['found']} found, {counts['missed']} missed, {counts['false alarm']} false alarms")
    return lines


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
