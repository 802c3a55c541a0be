"""Tries mutants in the current folder, which must be a copy of the project: `python -m tests.mutants` starts it.

Keras is imported once. Each mutant is written into its file, a forked process imports masklib again and runs the mutant's tests,
and the file is restored.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import keras  # noqa: F401 # so that the forked processes have it
import pandas as pd  # noqa: F401
import pytest

from tests.mutants.table import Mutant, MutantError, mutated, read

QUIET = ("-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-n", "0", "-o", "timeout=120", "-m", "")


@dataclass
class Reported:
    """What pytest reports of a run: as a plugin it notes which tests failed."""

    code: int = -1
    failed: set[str] = field(default_factory=set)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a test that failed, without its parameters."""
        if report.failed:
            self.failed.add(report.nodeid.partition("[")[0])


def run(tests: Iterable[str]) -> Reported:
    """Return what pytest reports of tests, run in a process of their own that imports masklib from this folder."""
    return _forked(lambda: _run_here(list(tests)))


def _run_here(tests: Sequence[str]) -> Reported:
    """Run tests in this process."""
    import masklib

    if Path(masklib.__file__).resolve().parents[1] != Path.cwd().resolve():
        msg = f"masklib must be that of {Path.cwd()}, it is {masklib.__file__}."
        raise ImportError(msg)
    found = Reported()
    found.code = int(pytest.main([*QUIET, *tests], plugins=[found]))
    return found


def _forked(function: Callable[[], Reported]) -> Reported:
    """Return what a function returns in a forked process; its code is -1 where that dies."""
    context = get_context("fork")
    ours, theirs = context.Pipe()

    def send() -> None:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            theirs.send(function())

    process = context.Process(target=send)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return Reported()
    finally:
        process.join()


def verdict(mutant: Mutant) -> str:
    """Return "killed", or why a mutant is not.

    Raises:
        MutantError: it cannot be made.
    """
    file = Path(mutant.file)
    source = file.read_text(encoding="utf-8")
    file.write_text(mutated(mutant, source), encoding="utf-8")
    try:
        found = run(mutant.tests)
    finally:
        file.write_text(source, encoding="utf-8")
    if found.code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return f"not tried: pytest ended with {found.code}"
    passed = [test for test in mutant.tests if test not in found.failed]
    return f"SURVIVED: {', '.join(passed)}" if passed else "killed"


def main(words: Sequence[str]) -> int:
    """Try the mutants whose words are asked for, or all; return 1 unless each is killed."""
    mutants = [one for one in read() if all(word in f"{one.what} {one.file}" for word in words)]
    sound = run(dict.fromkeys(test for one in mutants for test in one.tests))
    if sound.code != pytest.ExitCode.OK or not mutants:
        click.echo(f"The tests must pass without a mutant, pytest ended with {sound.code}: {sorted(sound.failed)}", err=True)
        return 1
    verdicts = []
    for one in mutants:
        verdicts.append(verdict(one))
        click.echo(f"{verdicts[-1]:9} {one.file.removeprefix('masklib/auditing/')}: {one.what}")
    killed = verdicts.count("killed")
    click.echo(f"{killed} of {len(mutants)} mutants killed")
    return int(killed < len(mutants))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MutantError as error:
        sys.exit(str(error))
