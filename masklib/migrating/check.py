"""Observes a model under two versions of Keras, one after the other, and compares what they compute."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masklib.auditing.files import LIMIT_BYTES, SUFFIXES, check_model_file, is_in_code, read_arrays
from masklib.engine.inside import SUPPORTED_FROM, call_inside
from masklib.errors import ArgumentError, UnavailableError, UntestableError
from masklib.migrating.comparing import Comparison, Observed, compare
from masklib.migrating.explaining import Explained, explain
from masklib.migrating.sides import Side, today
from masklib.migrating.trusting import check_is_data

_CHILD = "masklib.migrating.child"
NO_LOSS = "the model has no loss to compare: it is not compiled"
SCHEMA = 1  # of the JSON; it changes if the meaning of a name in it changes


@dataclass(frozen=True)
class Options:
    """What a user says about the model.

    Attributes:
        inputs: a file of arrays, or module:name; "" if they are to be made.
        weights: a file of weights for a model in code; "" for none.
        custom: classes and functions that the model needs, each as "module:name".
        allow_unsafe: whether code in the file may be executed.
        limit_bytes: the largest size that a file may have unpacked.
        seed: of all random numbers.
    """

    inputs: str = ""
    weights: str = ""
    custom: Sequence[str] = ()
    allow_unsafe: bool = False
    limit_bytes: int = LIMIT_BYTES
    seed: int = 0


@dataclass(frozen=True)
class Migration:
    """What changes for a model from one Keras to another.

    Attributes:
        model: its path or name.
        source: the side that it comes from.
        target: the side that it goes to.
        comparison: what was compared.
        explained: the differences, each with what fits it in the matrix.
        samples: in the batch.
        is_made: whether the batch was made.
        notes: sentences on how the model was read.
    """

    model: str
    source: Side
    target: Side
    comparison: Comparison
    explained: list[Explained]
    samples: int
    is_made: bool
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        sides = {name: {"name": s.name, "keras": s.keras, "backend": s.backend} for name, s in self._sides.items()}
        return {
            "schema": SCHEMA,
            "model": self.model,
            **sides,
            "samples": self.samples,
            "inputs": "made" if self.is_made else "given",
            "exit_status": self.comparison.exit_status,
            "differences": [_row(one) for one in self.explained],
            "same": self.comparison.same,
            "not_compared": [{"part": part, "why": why} for part, why in self.comparison.gaps],
            "notes": self.notes,
        }

    @property
    def _sides(self) -> dict[str, Side]:
        """The sides by the names of the options."""
        return {"from": self.source, "to": self.target}


def _row(one: Explained) -> dict[str, Any]:
    """Return a difference as a dict that JSON can hold."""
    told = one.difference
    relative = told.relative if abs(told.relative) < float("inf") else None
    about = {"part": told.part, "of": told.of, "said": told.said, "relative": relative}
    return {**about, "because_of_masks_at": list(one.because), "changes": [dict(row) for row in one.changes], "why": one.said}


def migrate_check(
    model: str, source: Side, target: Side, options: Options, on_stage: Callable[[str], object] = lambda stage: None
) -> Migration:
    """Return what changes for a model from one Keras to another.

    Both get the same batch and the weights of the first. Each works in a process of its own; code in the current folder is
    imported only if the model, the inputs or `custom` name it.

    Args:
        model: the path of a `.keras` or `.h5` file, or module:function.
        source: the side that it comes from.
        target: the side that it goes to.
        options: what the user says about it.
        on_stage: called with what is done next.

    Raises:
        ArgumentError: the file is no model, is too large, or names code; or a side cannot load or call it.
        UntestableError: no Keras is there that can make inputs.
    """
    _check_files(model, options)
    with tempfile.TemporaryDirectory(prefix="masklib-migrate-") as folder:
        root = Path(folder)
        request = _request(model, options)
        made, batch = _make(source, target, request, root, on_stage)
        on_stage(f"observing {source}")
        first = _observe(source, {**request, "batch": batch}, root / "from")
        on_stage(f"observing {target}")
        carried = {"weights": "", "weights_from": str(root / "from" / "weights.npz")}
        second = _observe(target, {**request, "batch": batch, **carried}, root / "to")
    found = compare(first, second)
    explained = explain(found.differences, source, target)
    no_loss = [] if first.answer["has_loss"] or second.answer["has_loss"] else [NO_LOSS]
    notes = [*first.answer["notes"], *second.answer["notes"], *no_loss]
    return Migration(model, source, target, found, explained, made["samples"], made["is_made"], notes)


def _check_files(model: str, options: Options) -> None:
    """Refuse files before any Keras is asked.

    Raises:
        ArgumentError: one is no such file, is too large, or names code.
    """
    if not is_in_code(model):
        check_model_file(model, options.limit_bytes)
        if not options.allow_unsafe:
            check_is_data(model, options.custom)
    if options.weights:
        if not is_in_code(model):
            msg = f"--weights are for a model in code, {model} is a file that has its own. Name module:function as the MODEL."
            raise ArgumentError(msg)
        if not options.weights.endswith(SUFFIXES) or not Path(options.weights).is_file():
            msg = f"--weights must be a .h5 or .keras file, {options.weights} is none. "
            raise ArgumentError(msg + "Write it by model.save_weights('model.weights.h5').")
        check_model_file(options.weights, options.limit_bytes)
    if options.inputs and not is_in_code(options.inputs):
        read_arrays(options.inputs, options.limit_bytes)


def _request(model: str, options: Options) -> dict[str, Any]:
    """Return what every process is asked with."""
    in_code = any(map(is_in_code, (model, options.inputs)))
    paths = {"inputs": options.inputs, "weights": options.weights, "custom": list(options.custom)}
    safety = {"allow_unsafe": options.allow_unsafe, "limit_bytes": options.limit_bytes}
    folder = str(Path.cwd()) if in_code or options.custom else ""
    return {"model": model, **paths, **safety, "seed": options.seed, "weights_from": "", "folder": folder}


def _make(source: Side, target: Side, request: dict[str, Any], root: Path, on_stage: Callable[[str], object]) -> tuple[Any, str]:
    """Return what is known about the batch, and its file: made by the first Keras in which the model takes one.

    Raises:
        ArgumentError: a Keras cannot load the model, or it takes a batch in none.
        UntestableError: none is a Keras with which the audit works.
    """
    unmade = ""
    for place, maker in enumerate(_makers(source, target)):
        on_stage(f"{'reading' if request['inputs'] else 'making'} the inputs with {maker}")
        folder = root / f"batch{place}"
        answer = _ask(maker, "make", request, folder)
        if "unmade" not in answer:
            return answer, str(folder / "batch.npz")
        unmade = unmade or f"{maker} ({maker.name}): {answer['unmade']}"
    if unmade:
        raise ArgumentError(unmade)
    msg = f"The inputs are made and read by Keras {SUPPORTED_FROM} or newer, {source} and {target} are older. "
    raise UntestableError(msg + "Install a newer Keras beside masklib.")


def _makers(source: Side, target: Side) -> Iterator[Side]:
    """Yield each side with which the audit works, then this Python if it is neither."""
    sides = [source, target] if source != target else [source]
    with suppress(UnavailableError):
        sides += [today()] if today() not in sides else []
    yield from (side for side in sides if side.can_make_inputs)


def _observe(side: Side, request: dict[str, Any], folder: Path) -> Observed:
    """Return what a side computes."""
    import numpy as np

    answer = _ask(side, "observe", request, folder)
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return Observed(answer["keras"], answer, dict(arrays))


def _ask(side: Side, what: str, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the answer of a process of a side.

    Raises:
        ArgumentError: the answer is an error, or there is none.
    """
    folder.mkdir()
    asked = {**request, "out": str(folder)}
    ended = call_inside(side.environment, f"{_CHILD}:{what}", [asked], variables=side.variables, is_captured=True)
    try:
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = (ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"])[-1]
        answer = {"error": f"The process ended without an answer: {said[:300]}"}
    if "error" in answer:
        msg = f"{side} ({side.name}): {answer['error']}"
        raise ArgumentError(msg)
    return dict(answer)
