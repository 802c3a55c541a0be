"""What `masklib env` shows: the environments, their creation, and whether they can be used."""

from collections.abc import Sequence
from typing import Any

from masklib.cli.console import Tracker, log
from masklib.engine import environments
from masklib.engine.environments import Environment
from masklib.engine.execution import terminate_as_interrupt

DETAILS = ("Downloading ", "Downloaded ", "Building ", "+ ", "- ", "Using ", "Creating ", "Activate ")  # of uv, for a moving line


def list_rows() -> list[dict[str, Any]]:
    """Return a row for each environment, and for each release of Keras that was made: what it is, and whether it is there."""
    known = {one.name: one for one in (*environments.load_environments().values(), *environments.made())}
    return [environments.row(environment) for environment in known.values()]


def shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their sizes in words."""
    return [{**{k: v for k, v in row.items() if k != "bytes"}, "size": _size(row["bytes"])} for row in rows]


def create(names: Sequence[str]) -> list[dict[str, Any]]:
    """Make environments one after another, print first what each will cost, and return their rows with `folder`.

    Raises:
        ArgumentError: there is no environment of a name; nothing is made then.
        UnavailableError: one cannot be made.
    """
    wanted = [environments.find_environment(environments.newest(name)) for name in names]
    with terminate_as_interrupt():
        return [_create(environment, f"{i}/{len(wanted)}") for i, environment in enumerate(wanted, start=1)]


def create_missing(names: Sequence[str]) -> None:
    """Make the environments that are not there; see `create`."""
    create([name for name in names if not environments.find_environment(name).exists])


def _create(environment: Environment, position: str) -> dict[str, Any]:
    """Make one environment and return its row."""
    if environment.exists:
        _say(f"[{position}] {environment.name}: already created")
    else:
        _say(f"[{position}] {expected(environment)}")
        tracker = Tracker(f"[{position}] {environment.name}")
        tracker.state = "starting"

        def on_progress(line: str) -> None:
            tracker.state = line
            if not line.startswith(DETAILS):
                _say(f"[{position}] {environment.name}: {line}")

        with tracker.shown():
            environments.create(environment, on_progress)
        _say(f"[{position}] {environment.name}: made in {tracker.elapsed_s:.0f} s")
    return {**environments.row(environment), "folder": str(environment.folder)}


def _say(line: str) -> None:
    """Print a line on stderr."""
    log.print(line, markup=False, soft_wrap=True)


def expected(environment: Environment) -> str:
    """Return what the creation of an environment will cost, in sentences; of its time only what was measured here."""
    took = environments.last_creation_s(environment)
    before = "" if took is None else f" The last creation on this machine took {took} s."
    below = f" First: {expected(environment.on)}" if environment.on and not environment.on.exists else ""
    return (
        f"{environment.title} needs at most {environment.download_mb} MB to download, less what uv has in its cache, "
        f"and {environment.disk_mb} MB on disk in {environment.folder}.{before}{below}"
    )


def remove(names: Sequence[str]) -> list[dict[str, Any]]:
    """Remove environments, and return for each whether there was one."""
    wanted = [environments.find_environment(name) for name in names]
    return [{"name": environment.name, "removed": environments.remove(environment)} for environment in wanted]


def check(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each environment whether it imports and in which versions; by default for all that are there."""
    wanted = [environments.find_environment(name) for name in names] or environments.made()
    found = [environments.check(environment) for environment in wanted]
    return [{"name": one.name, "status": one.status, "versions": one.versions, "reason": one.reason} for one in found]


def shown_checks(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `check` with the versions, or the reason, in one column."""
    return [{"name": r["name"], "status": r["status"], "what": r["reason"] or _versions(r["versions"])} for r in rows]


def _versions(versions: dict[str, str]) -> str:
    """Return versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _size(size: int | None) -> str:
    """Return a size in MB; "" for none."""
    return "" if size is None else f"{size / 1e6:.0f} MB"
