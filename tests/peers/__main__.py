"""Run the tests of papermill with our engine, and those of nbclient with our warm kernels: `make peers`.

Those of papermill are in its package; those of nbclient are in its source distribution on PyPI, which pip fetches. A test that
fails must be listed in `intended.toml` beside the reason why that is meant, and one that is listed must fail.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click
import tomllib

HERE = Path(__file__).parent
SECONDS = 120  # for a test
PAPERMILL = ("test_execute.py", "test_autosave.py")  # those that execute notebooks


def papermill_tests() -> list[Path]:
    """Return the files of papermill's tests that execute notebooks."""
    found = find_spec("papermill")
    assert found
    assert found.origin
    return [Path(found.origin).parent / "tests" / name for name in PAPERMILL]


def nbclient_tests(folder: Path) -> list[Path]:
    """Fetch nbclient's source distribution into a folder; return the files of its tests, [] if it cannot be had."""
    name = f"nbclient=={version('nbclient')}"
    command = [
        "uv",
        "tool",
        "run",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--dest",
        str(folder),
        name,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        click.echo(
            f"nbclient's tests are skipped, its source distribution cannot be had: {ended.stderr.strip().splitlines()[-1]}"
        )
        return []
    (archive,) = folder.glob("nbclient-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return [folder / archive.name.removesuffix(".tar.gz") / "tests" / name for name in ("test_client.py", "test_cli.py")]


def failures(paths: list[Path], folder: Path, *options: str, **environment: str) -> tuple[set[str], int]:
    """Run tests; return the names of those that fail, and how many there are."""
    told = folder / "told.xml"
    settings = ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-q", "-n", "0", "--timeout", str(SECONDS)]
    command = [sys.executable, "-m", "pytest", *settings, "--import-mode=importlib", "--junitxml", str(told), *options]
    variables = {**os.environ, "PYTHONPATH": str(HERE), **environment}
    subprocess.run([*command, *map(str, paths)], cwd=paths[0].parents[1], env=variables, check=False, stdout=subprocess.DEVNULL)
    cases = ET.parse(told).getroot().iter("testcase")
    ended = {f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}": case for case in cases}
    return {name for name, case in ended.items() if case.find("failure") is not None or case.find("error") is not None}, len(
        ended
    )


def compare(peer: str, found: tuple[set[str], int], intended: dict[str, str]) -> bool:
    """Print what failed with its reason, and what is not as listed; return whether all is."""
    failed, count = found
    click.echo(f"{peer}: {count - len(failed)} of {count} tests pass.")
    for name in sorted(failed):
        click.echo(f"  {name}: {intended.get(name, 'NOT INTENDED')}")
    for name in sorted(set(intended) - failed):
        click.echo(f"  {name}: is listed and passes; take it off the list")
    return failed == set(intended)


def main() -> None:
    """Run both."""
    intended = tomllib.loads((HERE / "intended.toml").read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = [compare("papermill", failures(papermill_tests(), folder, "-p", "default_engine"), intended["papermill"])]
        paths = nbclient_tests(folder)
        if paths:
            warm = {"JUPYTER_DEFAULT_PROVISIONER_NAME": "masklib-warm"}
            good += [compare("nbclient", failures(paths, folder, "-o", "asyncio_mode=auto", **warm), intended["nbclient"])]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
