"""The suite across versions of Keras: what each environment's runs say of every claim and every layer.

A cell of the matrix is a verdict, or says why there is none: the run of its notebook "failed", it was "not run", or that was
"left out", since it is about what that Keras has not.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from masklib.claims.ledger import load_claims
from masklib.claims.recording import RECORDS
from masklib.claims.verdicts import reason
from masklib.claims.words import FAILED, LEFT_OUT, NOT_RUN, OPEN
from masklib.engine.committed import MAIN, Row, committed_versions
from masklib.engine.environments import made
from masklib.engine.parquet import read_table
from masklib.engine.record import read_file, read_lines
from masklib.engine.releases import is_pre_release, version_key
from masklib.engine.reproduce import plan_suite
from masklib.engine.run import Plan, Result
from masklib.engine.store import OK, Store, read_record
from masklib.engine.sweep import Outcome, look_up
from masklib.errors import ArgumentError, UnavailableError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("claim", "keras", "backend", "verdict", "reason")
USED_AND_GONE = "used and gone"  # the verdict of a layer that uses the mask, and drops what the next layer needs
ERROR = "error"  # the verdict of a layer that raises one
LAYERS = "12_layer_atlas"  # the notebook whose table `layers` has a row for each layer and setting
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
LONGEST = 240  # characters of an error
_NOT_THERE = "this Keras has not what it is about"


def answer_in(result: Result, claim: str) -> tuple[str, str]:
    """Return the verdict of a claim, or the fate of a layer, that a run measured, and the reason.

    Args:
        result: of the notebook that measures it.
        claim: of the ledger, or a layer with its setting, such as "LSTM(go_backwards=True)".
    """
    from masklib.engine.collect import claim_rows

    record = result.record
    if record.status != OK:
        return FAILED, _one_line(record.error.told if record.error else record.status)
    if claim not in load_claims():
        return dict(_layers(result.folder)).get(claim, (LEFT_OUT, "this Keras has no such layer"))
    rows = claim_rows(record, read_lines(read_file(result.folder, record, RECORDS)))
    return next(((row["verdict"], reason(row)) for row in rows if row["claim"] == claim), (OPEN, _NOT_THERE))


def notebook_of(claim: str) -> str:
    """Return the notebook that measures a claim, or a layer.

    Raises:
        ArgumentError: there is no such claim or layer, or no notebook measures it.
    """
    check_name(claim)
    return LAYERS if claim not in load_claims() else load_claims()[claim].notebook or _no_notebook(claim)


def check_name(name: str) -> None:
    """Raise ArgumentError if there is neither a claim of this name, nor a layer, with or without its setting."""
    layers = {row["claim"] for row in committed_versions()} - load_claims().keys()
    known = {*load_claims(), *layers, *(layer.partition("(")[0] for layer in layers)}
    if name not in known:
        near = get_close_matches(name, sorted(known), n=3, cutoff=0.4) or ["mask-3", "LSTM"]
        msg = f"What is asked for must be a claim, or a layer with its setting, got {name!r}. Did you mean {', '.join(near)}?"
        raise ArgumentError(msg)


def _no_notebook(claim: str) -> str:
    """Refuse a claim."""
    msg = f"A claim must be measured by a notebook, {claim} is not: it is open."
    raise ArgumentError(msg)


def matrix(store: Store, profile: str = "smoke") -> list[Row]:
    """Return what the runs of a store say of every claim, and every layer, on each environment that was made.

    Args:
        store: in which `masklib sweep versions` has put its runs.
        profile: of the runs.

    Returns:
        Rows of `COLUMNS`, in the order of the ledger, then of the layers; the oldest Keras first. A layer's `claim` is its name
        with its setting, such as "LSTM(go_backwards=True)".
    """
    from masklib.engine.collect import collect

    claims = collect(store).claims
    rows: dict[tuple[str, str, str], Row] = {}
    for chosen in _columns():
        for row in _column(store, claims, profile, chosen):
            rows.setdefault((row["claim"], row["keras"], row["backend"]), row)  # two environments may have the same Keras
    return _in_order(rows.values())


def renewed(committed: Iterable[Row], measured: Iterable[Row]) -> list[Row]:
    """Return committed cells, in which those of a notebook that was run anew on a version are exchanged, all of them."""
    anew = [row for row in measured if row["verdict"] != NOT_RUN]
    run = {_measured_by(row) for row in anew}
    return _in_order([*anew, *(row for row in committed if _measured_by(row) not in run)])


def _measured_by(row: Row) -> tuple[str, str, str | None]:
    """Return the version, the backend and the notebook that a cell is of."""
    claim = load_claims().get(row["claim"])
    return row["keras"], row["backend"], claim.notebook if claim else LAYERS


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """Return cells in the order of the ledger, then of the layers; the oldest Keras first."""
    place = {name: index for index, name in enumerate(load_claims())}
    return sorted(rows, key=lambda row: (place.get(row["claim"], len(place)), row["claim"], *order(row)))


def column(store: Store, environment: str, profile: str = "smoke") -> list[Row]:
    """Return the cells of one environment; see `matrix`."""
    from masklib.engine.collect import collect

    return list(_column(store, collect(store).claims, profile, {"environment": environment}))


def last_release(backend: str, before: str) -> list[Row]:
    """Return the committed cells of the newest release of Keras before a version, on a backend; [] if there is none."""
    rows = [row for row in committed_versions() if row["backend"] == backend and not is_pre_release(row["keras"])]
    older = (keras for keras in {row["keras"] for row in rows} if version_key(keras) < version_key(before))
    newest = max(older, key=version_key, default="")
    return [row for row in rows if row["keras"] == newest]


def _columns() -> Iterator[dict[str, str]]:
    """Yield what chooses each environment: the one of this process, on its backends, and all that were made."""
    yield {}
    yield {"backend": "jax"}
    yield from ({"environment": environment.name} for environment in made())


def _column(store: Store, claims: "pd.DataFrame", profile: str, chosen: dict[str, str]) -> Iterator[Row]:
    """Yield the cells of one environment; none if nothing was run on it."""
    try:
        plans = plan_suite(profile, **chosen)
    except UnavailableError:  # a backend that is not installed here
        return
    found = look_up(plans, store)
    if not found:
        return
    keras, backend = _cell(plans[0])
    measured = {row["claim"]: row for row in claims[claims["key"].isin(found)].to_dict("records")}
    by_notebook = {plan.notebook.name: found.get(plan.key) for plan in plans}
    for claim in load_claims().values():
        row = measured.get(claim.id)
        told = (row["verdict"], reason(row)) if row else _without(claim.notebook, by_notebook)
        yield dict(zip(COLUMNS, (claim.id, keras, backend, *told), strict=True))
    atlas = by_notebook.get(LAYERS)
    for name, told in _layers(atlas.folder) if atlas and atlas.status == OK else ():
        yield dict(zip(COLUMNS, (name, keras, backend, *told), strict=True))


def _cell(plan: Plan) -> tuple[str, str]:
    """Return the Keras and the backend in which a plan is executed."""
    return str(plan.inputs["versions"]["keras"]), plan.settings["KERAS_BACKEND"]


def _without(notebook: str | None, found: dict[str, Outcome | None]) -> tuple[str, str]:
    """Return why a claim has no verdict, and the reason of that."""
    if notebook is None:
        return OPEN, "no notebook measures it"
    if notebook not in found:
        return LEFT_OUT, "the notebook is about what this Keras has not"
    outcome = found[notebook]
    if outcome is None:
        return NOT_RUN, ""
    return (OPEN, _NOT_THERE) if outcome.status == OK else (FAILED, _one_line(outcome.reason))


def _one_line(text: str) -> str:
    """Return what an error says first, without what it was called with."""
    told = _COLOURS.sub("", text.partition("Arguments received by")[0])
    return " ".join(told.split())[:LONGEST]


def _layers(folder: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each layer with its setting, and each operator: what it does with the mask, and what else it does."""
    record = read_record(folder)
    for table, (named, verdict, beside) in _TABLES.items():
        frame = read_table(read_file(folder, record, f"tables/{table}.parquet"))
        for row in frame.to_dict("records"):
            rest = "; ".join(f"{column}: {row[column]}" for column in frame if column not in beside and row[column])
            told = str(row["why"]) if verdict(row) == ERROR or not rest else rest
            yield named(row), (verdict(row), _one_line(told))


def _with_setting(row: Any) -> str:
    """Return a layer with its setting, such as "LSTM(go_backwards=True)"."""
    return f"{row['layer']}({row['setting']})" if row["setting"] else str(row["layer"])


def _with_masks(row: Any) -> str:
    """Return a merging layer with its setting and the masks that it gets, such as "Add(different masks)"."""
    masks = {"one missing": "one mask missing"}.get(row["masks"], f"{row['masks']} masks")
    return f"{row['layer']}({', '.join(filter(None, (row['setting'], masks)))})"


def _fate(row: Any) -> str:
    """Return what a layer does with the mask and the padding, in a few words."""
    mixes = {"yes": ", padding mixed in", "no": "", "": ""}.get(row["mixes padding in"], _UNLESS_LAST)
    mask = USED_AND_GONE if row["mask"] == "gone" and row.get("uses the mask") == "yes" else row["mask"]
    return f"{mask}{mixes}{', does not fit' if row.get('mask fits') == 'no' else ''}"


def _rule(row: Any) -> str:
    """Return by which rule a layer merges masks; what it ended with where that is an error."""
    return str(row["rule"] or row["merged mask"])


_UNLESS_LAST = ", padding mixed in unless it comes last"
_TABLES: dict[str, tuple[Callable[[Any], str], Callable[[Any], str], tuple[str, ...]]] = {
    # of the notebook: what a row is named, its verdict, and the columns that are no other behaviour
    "layers": (_with_setting, _fate, ("layer", "family", "setting", "why", "mask", "mixes padding in", "mask fits")),
    "merging": (_with_masks, _rule, ("layer", "setting", "masks", "rule", "why")),
    "operators": (lambda row: str(row["layer"]), _fate, ("layer", "why", "mask", "mixes padding in")),
}


def order(row: Row) -> tuple[tuple[int, ...], bool, str]:
    """Return what sorts cells: by version, the main backend first."""
    return version_key(row["keras"]), row["backend"] != MAIN, row["backend"]
