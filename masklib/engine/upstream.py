"""Reports for the authors of Keras: a script of plain Keras, with what it prints on the versions that are named.

The scripts are in `upstream.toml`. Each is executed, in this Python or in that of an environment, when the report is made.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import tomllib

from masklib.engine.environments import Environment, find_environment
from masklib.errors import ArgumentError, RunError, UnavailableError

LIMIT_S = 300.0
_VERSIONS = """
import os, platform, keras, numpy
backend = keras.backend.backend()
module = __import__(backend)
print(f"Keras {keras.__version__}, {backend} {module.__version__}, NumPy {numpy.__version__}, Python {platform.python_version()}")
"""


@dataclass(frozen=True)
class Report:
    """A script that shows one thing.

    Attributes:
        title: what is wrong, in a sentence.
        about: the claims and findings that it shows.
        expected: what should be printed, and what would help.
        script: of plain Keras, without masklib.
        backend: of Keras, the one that is at fault; "" for any.
        instead: what to write today, for what a pre-release brings.
        since: the pre-release of Keras that brings what it shows; "" where the installed Keras shows it.
    """

    title: str
    about: tuple[str, ...]
    expected: str
    script: str
    backend: str = ""
    instead: str = ""
    since: str = ""


@cache
def reports() -> Mapping[str, Report]:
    """Return every report by its name, such as "initial_state"."""
    found = tomllib.loads(files("masklib.engine").joinpath("upstream.toml").read_text(encoding="utf-8"))
    return {name: Report(**{**told, "about": tuple(told["about"])}) for name, told in found.items()}


def find_report(name: str) -> Report:
    """Return the report of this name, or that is about this claim or finding.

    Raises:
        ArgumentError: there is none; the message names what there is.
    """
    by_name = {**{one: report for report in reports().values() for one in report.about}, **reports()}
    if name not in by_name:
        near = get_close_matches(name, by_name, n=3, cutoff=0.6)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        msg = f"There are reports about {', '.join(sorted(by_name.keys() - reports().keys()))}, got {name!r}.{hint}"
        raise ArgumentError(msg)
    return by_name[name]


def environments_of(report: Report) -> list[str | None]:
    """Return where a script is executed unless it is said: in this Python, and on the pre-release that brings what it shows."""
    return [None, f"keras@{report.since}"] if report.since else [None]


def execute(report: Report, environment: str | None = None) -> tuple[str, str]:
    """Execute the script of a report; return the versions that it ran on, and what it printed.

    Args:
        report: see `find_report`.
        environment: the name of one that was made; None for this Python.

    Raises:
        UnavailableError: the environment is not there.
        ArgumentError: it has another backend than the one at fault.
        RunError: the script, or Keras itself, failed.
    """
    other = find_environment(environment) if environment else None
    if other and not other.exists:
        msg = f"The environment {other.name} was not made yet. Make it: masklib env create {other.name}."
        raise UnavailableError(msg)
    if other and report.backend not in ("", other.backend):
        msg = f"The script shows a fault on {report.backend}, {other.name} has {other.backend}. Choose another environment."
        raise ArgumentError(msg)
    versions, _, printed = _output(_VERSIONS + report.script, other, report.backend).partition("\n")
    return versions, printed


def _output(script: str, other: Environment | None, backend: str) -> str:
    """Return what a script prints, on a backend unless that is ""."""
    python = str(other.python) if other else sys.executable
    kept = {k: v for k, v in os.environ.items() if not other or not k.startswith(("PYTHON", "KERAS_"))}
    environ = {**kept, **(other.variables() if other else {}), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environ |= {"KERAS_BACKEND": backend} if backend else {}
    command = [python, "-W", "ignore", "-c", script]
    try:
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        msg = f"The script must end within {LIMIT_S:g} s, it did not."
        raise RunError(msg) from None
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"])[-1]
        msg = f"The script does not run{f' in {other.name}' if other else ''}: {said}"
        raise RunError(msg)
    return ended.stdout.rstrip()


def as_markdown(report: Report, outputs: Iterable[tuple[str, str]]) -> str:
    """Return a report as the text of an issue.

    Args:
        report: see `find_report`.
        outputs: versions with what was printed on them, from `execute`.
    """
    lines = [f"# {report.title}", "", "```python", report.script.strip(), "```", "", f"**Expected.** {report.expected}", ""]
    for versions, printed in outputs:
        lines += [f"**Printed on {versions}:**", "", "```text", printed, "```", ""]
    return "\n".join(lines)
