"""The page of one run: a single HTML file that needs nothing beside it. `masklib report RUN`."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from masklib.claims.ledger import load_claims
from masklib.claims.recording import RECORDS
from masklib.claims.verdicts import reason
from masklib.engine.files import store_error
from masklib.engine.record import OK, RECORD, Record, read_file, read_lines, read_record
from masklib.engine.store import Store
from masklib.engine.stores import open_store
from masklib.errors import ArgumentError
from masklib.site import look
from masklib.site.executed import HEADING, read_executed, title_of
from masklib.site.names import ran_on
from masklib.site.reading import plain_text, read_cells, recorded_figure
from masklib.site.survey import Experiment, slug
from masklib.site.text import render

SHORT = 12  # digits of a key in a file's name


def write(run: str | Path, root: str | Path = "runs", out: str | Path | None = None) -> Path:
    """Write the page of a run and return its path.

    Args:
        run: the folder of the run, its key, or a beginning of the key that no other run has.
        root: the store, where `run` is a key.
        out: the file; or a folder, by default the current one, in which it is called `<notebook>-<key>.html`.

    Raises:
        ArgumentError: there is no such run, or several.
        StoreError: the run cannot be read, or the page not written.
    """
    folder = find_run(run, open_store(root))
    record = read_record(folder)
    path = Path(out or ".")
    if path.is_dir():
        path = path / f"{slug(record.notebook)}-{slug(record.key[:SHORT])}.html"
    page = to_html(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        msg = f"The page cannot be written to {path}"
        raise store_error(msg, error) from None
    return path


def find_run(run: str | Path, store: Store) -> Path:
    """Return the folder of a run: given itself, or by its key or a beginning of it; of failed attempts the last.

    Raises:
        ArgumentError: there is no such run, or several; the message names them.
    """
    given = Path(run)
    if (given / RECORD).is_file():
        return given
    beginning = str(run).rstrip("/")
    entries = {entry.name: _key(entry.name) for entry in store.entries()} if store.exists() else {}
    names = [name for name, key in entries.items() if key.startswith(beginning) or name.startswith(beginning)]
    keys = {entries[name] for name in names}
    if len(keys) == 1 and beginning:
        published = [name for name in names if "/failed/" not in name]
        return store.root / (published or names)[-1]
    told = f"{len(keys)} runs: {', '.join(sorted(key[:SHORT] for key in keys)[:5])}" if keys else "none"
    msg = f"A run must be a folder, a key or a beginning that one key of {store.root} has; {beginning!r} is of {told}."
    raise ArgumentError(msg)


def _key(name: str) -> str:
    """Return the key in the name of a store's entry."""
    key = name.rpartition("/")[2]
    return key.rpartition("-")[0] if "/failed/" in name else key


def to_html(folder: Path) -> str:
    """Return the page of the run or failed attempt in `folder`.

    Raises:
        StoreError: its record cannot be read.
    """
    record = read_record(folder)
    run = Experiment(record, _records(folder, record), folder, record.notebook, page="")
    node = read_executed(folder, record)
    title = _title(node, record.notebook)
    failed = record.error.cell if record.error else None
    body = render(
        "single.html",
        title=title,
        record=record,
        ran_on=ran_on(record),
        status=Markup(look.verdict(record.status)),  # noqa: S704 (escaped there)
        error=_error(record),
        answer=run.answer,
        figure=recorded_figure(run, run.first_figure) if run.answer else "",
        verdicts=_verdicts(run),
        parameters=record.parameters,
        facts=_facts(record),
        cells=read_cells(node, run, failed) if node else [],
    )
    return look.page(f"{title} ({record.status}, {ran_on(record)})", body)


def _title(node: Any, name: str) -> str:
    """Return the title of a notebook, its name if it has none; the title leaves the first cell."""
    title = title_of(node, "")
    if title:
        node.cells[0].source = HEADING.sub("", node.cells[0].source)
    return title or name


def _records(folder: Path, record: Record) -> list[dict[str, Any]]:
    """Return what a run recorded that ended well."""
    return read_lines(read_file(folder, record, RECORDS)) if record.status == OK and RECORDS in record.files else []


def _verdicts(run: Experiment) -> list[dict[str, Any]]:
    """Return the claims of a run."""
    claims = load_claims()
    return [
        {
            "claim": row["claim"],
            "shown": Markup(look.verdict(row["verdict"])),  # noqa: S704 (escaped there)
            "statement": claims[row["claim"]].statement,
            "why": reason(row),
        }
        for row in sorted(run.claims, key=lambda row: list(claims).index(row["claim"]))
    ]


def _error(record: Record) -> dict[str, str] | None:
    """Return what went wrong, as text."""
    if not record.error:
        return None
    signal = f"signal {record.error.signal}" if record.error.signal else ""
    where = f"cell {record.error.cell}" if record.error.cell is not None else ""
    return {
        "ename": record.error.ename,
        "evalue": plain_text(record.error.evalue),
        "where": ", ".join(filter(None, [where, signal])),
        "traceback": plain_text("\n".join(record.error.traceback)),
    }


def _facts(record: Record) -> dict[str, str]:
    """Return what a run was made with."""
    versions = {name: version for name, version in record.inputs["versions"].items() if version}
    facts = {
        "Python": record.inputs.get("python", ""),
        "platform": record.inputs.get("platform", ""),
        "device": record.inputs.get("device", ""),
        **versions,
        "kernel": f"{record.kernel} ({record.launch})".strip(),
        "masklib (hash)": record.inputs.get("masklib", ""),
        **record.inputs["settings"],
    }
    return {name: value for name, value in facts.items() if value is not None}
