"""The suite from one call: every notebook, the tables, the figures, and the comparison with the committed verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from masklib.claims.ledger import load_claims
from masklib.claims.recording import answer_of
from masklib.claims.recording import read as recorded
from masklib.claims.verdicts import reason
from masklib.engine.committed import ANSWERS, VERDICTS
from masklib.engine.environments import find_environment
from masklib.engine.notebooks import suite
from masklib.engine.parquet import read_table
from masklib.engine.record import read_file
from masklib.engine.run import Plan, Result, plan_run
from masklib.engine.store import OK, Store, is_local, make_folder, write_atomically
from masklib.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

TABLES = {("12_layer_atlas", "layers"): "layer_atlas.csv"}  # recorded tables that are committed, by notebook and name


@dataclass(frozen=True)
class Reproduction:
    """What came of the suite.

    Attributes:
        results: one for each notebook that was executed or found.
        claims: their claims, one row each; see `masklib.engine.collect`.
        differences: sentences that say which verdicts are not those of the reference; [] if all agree.
        unreferenced: claims for which the reference has no row for this Keras and backend.
        unreadable: folders of the store that could not be read and were set aside, with the reason.
    """

    results: list[Result]
    claims: "pd.DataFrame"
    differences: list[str]
    unreferenced: list[str]
    unreadable: list[str]

    @property
    def ok(self) -> bool:
        """Whether every notebook ran to its end and no verdict differs from the reference."""
        return not self.differences and all(result.record.status == OK for result in self.results)


def plan_suite(profile: str, **chosen: str) -> list[Plan]:
    """Return the plans of every notebook of the suite, all checked before the first is executed.

    Args:
        profile: "smoke" or "full".
        **chosen: `environment` or `backend`, where it is not the default one. Notebooks that need a newer Keras than that of
            the environment are left out.

    Raises:
        ParameterError, UnavailableError: the environment or backend cannot be used.
    """
    left_out = find_environment(chosen["environment"]).leaves_out if "environment" in chosen else ()
    return [plan_run(path, {"profile": profile, **chosen}) for path in suite() if path.stem not in left_out]


def summarize(results: list[Result], plans: list[Plan], store: Store, reference: Path) -> Reproduction:
    """Write `tables/`, the answers among them, and `figures/` beside the runs; compare the verdicts with the reference."""
    from masklib.engine.collect import collect

    tables = collect(store)
    tables.write(store.root / "tables")
    if is_local(store.root):
        _merge(store.root / "tables" / ANSWERS, _answers(results))
    copy_figures(results, store.root / "figures")
    claims = tables.claims[tables.claims["key"].isin([plan.key for plan in plans])]
    differences, unreferenced = compare(claims, reference / VERDICTS)
    return Reproduction(results, claims, differences, unreferenced, tables.unreadable)


def copy_figures(results: list[Result], folder: Path) -> None:
    """Copy the pictures of the runs to `folder/<notebook>/`; their recipes stay with the runs."""
    for result in results:
        pictures = [name for name in result.record.files if name.startswith("figures/") and not name.endswith(".json")]
        for name in pictures if result.record.status == OK else ():
            target = folder / result.record.notebook / name.removeprefix("figures/")
            make_folder(target.parent)
            write_atomically(target, read_file(result.folder, result.record, name))


def compare(claims: "pd.DataFrame", reference: Path) -> tuple[list[str], list[str]]:
    """Return how measured verdicts differ from the committed ones, and the claims that have none committed.

    Only rows of the same Keras and backend are compared: a verdict is a fact about one version.
    """
    committed = _committed(reference, claims)
    measured = dict(zip(claims["claim"], claims["verdict"], strict=True))
    differences = [
        f"{claim}: measured {measured.get(claim, 'nothing')}, the reference says {verdict}"
        for claim, verdict in committed.items()
        if measured.get(claim) != verdict
    ]
    return differences, [claim for claim in measured if claim not in committed]


def _committed(reference: Path, claims: "pd.DataFrame") -> dict[str, str]:
    """Return the committed verdicts for the Keras and backend of `claims`, by claim."""
    import pandas as pd

    if not reference.exists() or claims.empty:
        return {}
    rows = pd.read_csv(reference, dtype=str)
    cells = set(zip(claims["keras"], claims["backend"], strict=True))
    kept = [cell in cells for cell in zip(rows["keras"], rows["backend"], strict=True)]
    rows = rows[kept]
    return dict(zip(rows["claim"], rows["verdict"], strict=True))


def update_reference(found: Reproduction, folder: Path) -> None:
    """Write the measured verdicts and answers to `folder`; rows of another Keras or backend stay.

    The suite must have run to its end: a verdict that is missing would be lost.
    """
    if any(result.record.status != OK for result in found.results):
        msg = "The reference is written after every notebook ran to its end, a notebook did not. Fix it first."
        raise RunError(msg)
    verdicts = found.claims[["claim", "keras", "backend", "verdict"]].copy()
    verdicts["reason"] = [reason(row) for row in found.claims.to_dict("records")]
    folder.mkdir(parents=True, exist_ok=True)
    _merge(folder / VERDICTS, verdicts, list(load_claims()))
    _merge(folder / ANSWERS, _answers(found.results))
    for (notebook, name), file in TABLES.items():
        for result in found.results:
            if result.record.notebook == notebook:
                _merge(folder / file, _table(result, name))


def _answers(results: list[Result]) -> "pd.DataFrame":
    """Return the answers of the runs, a row each."""
    import pandas as pd

    ended = [run for run in results if run.record.status == OK]
    rows = [(run.record.notebook, run.record.keras, run.record.backend, answer_of(recorded(run.folder))) for run in ended]
    return pd.DataFrame([row for row in rows if row[-1]], columns=["notebook", "keras", "backend", "answer"], dtype="string")


def _table(result: Result, name: str) -> "pd.DataFrame":
    """Return a recorded table of a run, its Keras and backend after the first column."""
    frame = read_table(read_file(result.folder, result.record, f"tables/{name}.parquet"))
    frame.insert(1, "keras", result.record.keras)
    frame.insert(2, "backend", result.record.backend)
    return frame


def _merge(path: Path, new: "pd.DataFrame", order: Sequence[str] = ()) -> None:
    """Write rows over those of the same Keras and backend, sorted by these and the first column, which may have an order."""
    import pandas as pd

    name = str(new.columns[0])
    if path.exists():
        old = pd.read_csv(path, dtype="string", keep_default_na=False)
        cells = set(zip(new["keras"], new["backend"], strict=True))
        others = old[[cell not in cells for cell in zip(old["keras"], old["backend"], strict=True)]]
        new = pd.concat([others, new])[list(new)]
    place = {value: index for index, value in enumerate(order)}
    new = new.sort_values(
        ["keras", "backend", name], key=lambda c: c.map(place) if place and c.name == name else c, kind="stable"
    )
    write_atomically(path, new.to_csv(index=False).encode())
