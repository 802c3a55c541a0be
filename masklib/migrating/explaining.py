"""Names the change of the matrix, `runs/reference/changes.csv`, that fits a difference between two versions of Keras.

A change fits by its versions, its backend and its subject: of a mask the class of the layer, its settings, and whether there was
a mask and is one; of losses and metrics the claims about them. It was measured on other models: that it is the cause here is
not proved.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from masklib.claims.ledger import load_claims
from masklib.engine.committed import Row, committed_changes
from masklib.engine.releases import version_key
from masklib.migrating.comparing import Difference
from masklib.migrating.sides import Side

NOT_NAMED = "no change of the matrix names it"
ABOUT_LOSSES = ("03_masked_evaluate_loss", "08_losses_and_metrics", "05_masked_crossentropy")  # notebooks
ABOUT_STATES = "11_initial_state"  # a notebook
_GONE = ("dropped", "gone", "used and gone", "lost", "no mask")  # what a layer does that hands no mask on
_MASKS = ("equal masks", "different masks", "one mask missing")
_MERGING = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
ATLAS_FROM = "3.0.0"
MOST = 3  # changes that are named for one difference


@dataclass(frozen=True)
class Explained:
    """A difference with what fits it.

    Attributes:
        difference: see `masklib.migrating.comparing.Difference`.
        because: of a layer that got another mask already, or of a result behind such layers: the layers where masks first differ.
        changes: rows of the matrix, the fittest first.
        outputs: of a loss or metric: the outputs that differ.
    """

    difference: Difference
    because: tuple[str, ...]
    changes: tuple[Row, ...]
    outputs: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What explains the difference, as a sentence."""
        after = [f"the mask at {', '.join(map(repr, self.because))} differs first"] if self.because else []
        computed = ["it is computed from outputs that differ"] if self.outputs and not after else []
        hedge = "" if self.difference.part == "masks" else "perhaps "  # a claim about all results was not measured on this one
        return "; ".join([*after, *computed, *(f"{hedge}{as_sentence(row)}" for row in self.changes)]) or NOT_NAMED


def explain(differences: Sequence[Difference], source: Side, target: Side) -> list[Explained]:
    """Return each difference with what fits it in the matrix.

    Args:
        differences: between the two sides.
        source: the first of them.
        target: the second.
    """
    rows = changes_between(source, target)
    roots = [one for one in differences if one.part == "masks" and not one.follows]
    names = tuple(one.of for one in roots)
    outputs = tuple(one.of for one in differences if one.part == "outputs")
    found = []
    for one in differences:
        is_result = one.part in ("loss", "metrics")
        first = names if one.follows or one.part != "masks" else ()
        if one.follows or (is_result and (outputs or names)):
            fitting: Sequence[Row] = ()
        elif one.part == "masks":
            fitting = _of_layer(one, rows, source, target)
        else:
            fitting = _of_result(one, _whole(rows, source, target))
        found.append(Explained(one, first, tuple(fitting), outputs if is_result else ()))
    return found


def changes_between(source: Side, target: Side, rows: Iterable[Row] | None = None) -> list[Row]:
    """Return the changes of the matrix between the versions of two sides, on their backends, the newest last.

    A change is dated by two measured versions; one of which only a part lies between the sides is included.

    Args:
        source: a side, and `target` the other.
        target: see `source`.
        rows: of `changes.csv`; None: the committed ones.
    """
    old, new = sorted((version_key(source.keras), version_key(target.keras)))
    if old == new:
        return []
    backends = {source.backend, target.backend}
    known = committed_changes() if rows is None else rows
    inside = (row for row in known if version_key(row["keras"]) > old and version_key(row["before"]) < new)
    return [row for row in inside if row["backend"] in backends]


def _of_layer(one: Difference, rows: Sequence[Row], source: Side, target: Side) -> list[Row]:
    """Return the changes that fit the mask which a layer hands on: of its class, then claims that name its class."""
    forwards = version_key(source.keras) <= version_key(target.keras)
    was, now = (one.was, one.now) if forwards else (one.now, one.was)
    if not _is_in_atlas(source, target):
        claims = _net([row for row in _whole(rows, source, target) if _names(row, one.kind)])[:MOST]
        if claims:
            return claims
    of_class = [row for row in _net(rows) if row["claim"].partition("(")[0] == one.kind and _fits(row, was, now)]
    ranked = sorted(of_class, key=lambda row: -_matching(row, one))
    return [row for row in ranked if _matching(row, one) >= 0][:1]


def _is_in_atlas(source: Side, target: Side) -> bool:
    """Return whether the matrix has rows of layers for both versions: Keras 2 has none, only claims."""
    return min(version_key(source.keras), version_key(target.keras)) >= version_key(ATLAS_FROM)


def _whole(rows: Sequence[Row], source: Side, target: Side) -> list[Row]:
    """Return the changes that lie between two versions as a whole: of claims it is not known in which part they changed."""
    old, new = sorted((version_key(source.keras), version_key(target.keras)))
    return [row for row in rows if old <= version_key(row["before"]) and version_key(row["keras"]) <= new]


def _fits(row: Row, was: bool, now: bool) -> bool:
    """Return whether a change of a layer is one from and to whether there is a mask, and not one from or to an error."""
    if _is_error(row["was"]) or _is_error(row["is"]):
        return False
    if was and now:
        return not _is_gone(row["was"]) and not _is_gone(row["is"])
    return _is_gone(row["was"]) != was and _is_gone(row["is"]) != now


def _is_gone(behaviour: str) -> bool:
    """Return whether a layer that behaves so hands no mask on."""
    return behaviour.partition(",")[0] in _GONE


def _matching(row: Row, one: Difference) -> int:
    """Return how many settings of a row are those of the layer; -1 if one is not."""
    _, _, inside = row["claim"].rstrip(")").partition("(")
    count = 0
    for part in filter(None, re.split(r", (?=[a-z_]+=|[a-z]+ mask)", inside)):
        name, equals, value = part.partition("=")
        fits = (one.config or {}).get(name) == _value(value) if equals else part == one.masks_in
        if not fits:
            return -1
        count += 1
    return count


def _value(text: str) -> object:
    """Return the value of a setting; the text itself where it is no literal."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _names(row: Row, kind: str) -> bool:
    """Return whether a row is a claim about layers of a class."""
    claim = load_claims().get(row["claim"])
    if claim is None or claim.notebook in ABOUT_LOSSES:
        return False
    is_merging = kind in _MERGING and "merging layers" in claim.statement and f"other than {kind}" not in claim.statement
    named = re.search(rf"(?<!other than )\b{re.escape(kind)}\b", claim.statement)
    return bool(named) or is_merging


def _of_result(one: Difference, rows: Sequence[Row]) -> list[Row]:
    """Return the claims that changed: about losses or metrics; for outputs about initial states, if the model gives any."""
    claims = load_claims()
    if one.part == "outputs":
        of_states = (row for row in rows if row["claim"] in claims and claims[row["claim"]].notebook == ABOUT_STATES)
        return _net([*of_states])[:MOST] if one.with_state else []
    about = [row for row in rows if row["claim"] in claims and claims[row["claim"]].notebook in ABOUT_LOSSES]
    return _net([row for row in about if _is_about(claims[row["claim"]].statement.lower(), one.part)])[:MOST]


def _is_about(statement: str, part: str) -> bool:
    """Return whether a claim is about what `evaluate` reports as "loss", or as "metrics"."""
    return "metric" in statement if part == "metrics" else "loss" in statement and not re.search("metric|training", statement)


def _net(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each claim or layer that ends as it did not begin; errors between two behaviours are passed over."""
    by_subject: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_subject.setdefault((row["claim"], row["backend"]), []).append(row)
    ends = [(several[0], _without_errors(several)) for several in by_subject.values()]
    return [last for first, last in ends if first["was"] != last["is"]]


def _without_errors(rows: Sequence[Row]) -> Row:
    """Return the last row of a subject, from what was before the errors that it may end."""
    last = rows[-1]
    for earlier in reversed(rows[:-1]):
        if not _is_error(last["was"]):
            break
        last = {**last, "before": earlier["before"], "was": earlier["was"]}
    return last


def _is_error(behaviour: str) -> bool:
    """Return whether a layer raised an error where its behaviour was measured."""
    return behaviour.startswith("error")


def as_sentence(row: Mapping[str, str]) -> str:
    """Return a change of the matrix as a sentence."""
    claim = load_claims().get(row["claim"])
    what = f"{row['claim']} ({claim.statement})" if claim else row["claim"]
    was, now = (row[name].partition(";")[0][:120] for name in ("was", "is"))
    return f"{what}: {was} up to Keras {row['before']}, {now} from {row['keras']} on ({row['backend']})"
