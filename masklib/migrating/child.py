"""What runs in the environments: each function reads a request, and leaves its answer in a folder, as JSON and NumPy's arrays."""

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from masklib.auditing.files import is_in_code
from masklib.errors import MasklibError

ANSWER, BATCH, ARRAYS, WEIGHTS = "answer.json", "batch.npz", "arrays.npz", "weights.npz"
Request = Mapping[str, Any]


def make(request: Request) -> None:
    """Make the batch of both sides, see `masklib.migrating.batches`, and keep it as `batch.npz`."""
    _answer(request, _make)


def observe(request: Request) -> None:
    """Observe a model, see `masklib.migrating.observing`; its weights are those of `weights_from`, or kept as `weights.npz`."""
    _answer(request, _observe)


def _answer(request: Request, work: Callable[[Request], dict[str, Any]]) -> None:
    """Leave what `work` returns, or the sentence of its error; what the user's code prints is no result."""
    if request["folder"]:
        sys.path.insert(0, request["folder"])
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = work(request)
        except MasklibError as error:
            answer = {"error": str(error)}
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            answer = {"error": f"{request['model']} cannot be observed: {type(error).__name__}: {first}"}
    Path(request["out"], ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _load(request: Request) -> tuple[Any, list[str]]:
    """Return the model of a request, and notes."""
    from masklib import compat
    from masklib.migrating import reading

    compat.set_random_seed(request["seed"])
    options = {name: request[name] for name in ("custom", "allow_unsafe", "limit_bytes")}
    model, notes = reading.load_model(request["model"], **options)
    if request["weights"]:
        reading.load_weights(model, request["weights"])
    return model, notes


def _keep(request: Request, name: str, arrays: Mapping[str, Any]) -> None:
    """Keep arrays by name as a file."""
    import numpy as np

    np.savez(Path(request["out"], name), **dict(arrays))


def _make(request: Request) -> dict[str, Any]:
    """Make the batch; "unmade" is why a model that was loaded takes none in this Keras."""
    from masklib.migrating.batches import make_batch
    from masklib.migrating.reading import check_takes_numbers

    model, _ = _load({**request, "weights": ""})
    check_takes_numbers(model)
    try:
        arrays = make_batch(model, _given(request, model), request["seed"])
    except MasklibError as error:
        return {"unmade": str(error)}
    _keep(request, BATCH, arrays)
    return {"samples": len(next(iter(arrays.values()))), "is_made": not request["inputs"]}


def _given(request: Request, model: Any) -> Any:
    """Return the inputs that the user gives, see `masklib.auditing.loading.Given`."""
    from masklib.auditing import loading
    from masklib.auditing.files import read_arrays

    path = request["inputs"]
    if not path:
        return loading.Given(None)
    if is_in_code(path):
        return loading.load_arrays(path, model)
    return loading.arrange(read_arrays(path, request["limit_bytes"]), model, path)


def _observe(request: Request) -> dict[str, Any]:
    """Observe the model."""
    import keras
    import numpy as np

    from masklib.migrating import observing, reading

    model, notes = _load(request)
    given = reading.open_batch(request["batch"], model)
    if not model.weights:  # not built
        observing.observe(model, given.inputs)
    if request["weights_from"]:
        with np.load(request["weights_from"], allow_pickle=False) as arrays:
            changed = reading.set_weights(model, dict(arrays))
        if changed and not is_in_code(request["model"]):
            notes.append(
                f"Keras {keras.__version__} reads {changed} weights of the file otherwise: it got those of the other side"
            )
    else:
        _keep(request, WEIGHTS, reading.weights_of(model))
    found = observing.observe(model, given.inputs, given.targets, given.sample_weight, seed=request["seed"])
    _keep(request, ARRAYS, found.arrays)
    about = {name: value for name, value in asdict(found).items() if name != "arrays"}
    return {**about, "keras": keras.__version__, "backend": keras.backend.backend(), "name": str(model.name), "notes": notes}
