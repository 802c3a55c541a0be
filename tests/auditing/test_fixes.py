"""The code that a report prints for a model is used exactly as printed, and then the audit finds no leak."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")
IDS = np.array([[3, 1, 4, 1, 5], [2, 7, 1, 0, 0], [6, 0, 0, 0, 0]])
WINDOWS = ["one = layers.Conv1D(4, 3, padding='same')", "two = layers.Conv1D(4, 3, padding='same')"]
SERIES = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32") * (IDS != 0)[..., None]


def fix_of(model: Any, code: str, *given: Any) -> str:
    """The lines that are printed for the one finding of this code."""
    report = masklib.audit(model, *given)
    (finding,) = [one for one in report.findings if one.code == code]
    assert finding.fix, finding
    assert all(line in str(report) for line in finding.fix.splitlines())
    return finding.fix


def graph(*parts: str, masked: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The layers by name, and the lines of a model of ids: one for each part, given as "name = constructor"."""
    names: dict[str, Any] = {"keras": keras, "layers": layers, "ops": ops}
    for part in (f"words = layers.Embedding(20, 4, mask_zero={masked})", *parts):
        name, _, made = part.partition(" = ")
        names[name] = eval(made.replace("layers.", "keras.layers."), {"keras": keras})
        names[name].name = name
    return names, [f"x = {part.partition(' = ')[0]}(x)" for part in parts]


def built(names: dict[str, Any], lines: list[str]) -> Any:
    """The model of these lines."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    space = {**names, "ids": ids, "x": names["words"](ids)}
    for line in lines:
        exec(line, space)
    model = keras.Model(ids, space["x"])
    model.run_eagerly = True  # compiling would take most of the time
    return model


@pytest.mark.parametrize(
    ("code", "masked", "parts"),
    [
        ("MSK106", False, ["reader = layers.LSTM(4)"]),
        ("MSK106", False, ["first = layers.LSTM(4, return_sequences=True)", "second = layers.GRU(4)"]),
        ("MSK106", False, ["mean = layers.GlobalAveragePooling1D()"]),
        ("MSK106", False, ["both = layers.Bidirectional(layers.LSTM(4))"]),
        ("MSK101", True, ["window = layers.Conv1D(4, 3, padding='same')", "mean = layers.GlobalAveragePooling1D()"]),
        ("MSK101", True, ["window = layers.Conv1D(4, 3, padding='causal')", "reader = layers.GRU(4)"]),
        ("MSK101", True, [*WINDOWS, "mean = layers.GlobalAveragePooling1D()"]),
        ("MSK115", True, ["largest = layers.GlobalMaxPooling1D()"]),
        ("MSK116", False, ["window = layers.Conv1D(4, 3, padding='same')"]),
    ],
)
def test_printed_code_that_passes_a_mask_works(code: str, masked: bool, parts: list[str]):
    names, lines = graph(*parts, masked=masked)
    fix = fix_of(built(names, lines), code, IDS)

    assert masklib.audit(built(names, with_fix(lines, fix)), IDS).verdict == "no leak found"


def with_fix(lines: list[str], fix: str) -> list[str]:
    """The lines of a model with those of a fix: in place of the calls of the same layers, or before them where it says so."""
    mask, *rest = fix.splitlines()
    used, changed = 0, [mask]
    for line in lines:
        name = line.removeprefix("x = ").partition("(")[0]
        before = [one for one in rest if one.endswith(f"# before {name!r}")]
        instead = next((one for one in rest if one.startswith(f"x = {name}(x, ")), line)
        changed += [*before, instead]
        used += len(before) + (instead != line)
    assert used == len(rest)
    return changed


def steps_of(loss: Any, width: int, activation: str | None) -> Callable[[], Any]:
    """Builds a model whose predictions have no mask."""

    def build() -> Any:
        x = keras.Input((None, 2), name="series")
        h = layers.LSTM(4, return_sequences=True)(x, mask=ops.any(x != 0.0, axis=-1))
        h = ops.where(ops.any(x != 0.0, axis=-1, keepdims=True), h, 0.0)
        model = keras.Model(x, layers.Dense(width, activation=activation)(h))
        model.compile("sgd", loss)
        return model

    return build


@pytest.mark.parametrize(
    ("build", "targets"),
    [
        (steps_of("mse", 1, None), SERIES[..., :1]),
        (steps_of("mae", 2, None), SERIES),
        (steps_of("binary_crossentropy", 1, "sigmoid"), (SERIES[..., :1] > 0).astype("float32")),
        (steps_of("sparse_categorical_crossentropy", 3, "softmax"), IDS % 3),
        (steps_of(keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, None), IDS % 3),
    ],
    ids=["mse", "mae", "binary", "sparse", "sparse of logits"],
)
def test_printed_code_that_replaces_a_loss_works(build: Callable[[], Any], targets: Any):
    model = build()
    exec(fix_of(model, "MSK201", SERIES, targets), {"model": model, "masklib": masklib})
    padded = np.where((IDS != 0).reshape(*IDS.shape, *[1] * (targets.ndim - 2)), targets, -1)

    assert masklib.audit(model, SERIES, padded).verdict == "no leak found"


@pytest.mark.parametrize(("loss", "metric"), [("mse", "mae"), ("sparse_categorical_crossentropy", "accuracy")])
def test_printed_code_that_replaces_a_metric_works(loss: str, metric: str):
    ids = keras.Input((None,), dtype="int32")
    h = layers.LSTM(4, return_sequences=True)(layers.Embedding(20, 4, mask_zero=True)(ids))
    is_sparse = loss.startswith("sparse")
    model = keras.Model(ids, layers.Dense(5 if is_sparse else 1, activation="softmax" if is_sparse else None)(h))
    model.compile("sgd", loss, metrics=[metric])
    targets = IDS % 5 if is_sparse else SERIES[..., :1]
    exec(fix_of(model, "MSK303", IDS, targets), {"model": model, "masklib": masklib})

    assert masklib.audit(model, IDS, targets).verdict == "no leak found"


def test_no_code_is_printed_that_is_not_known_to_be_right():
    ids, other = (keras.Input((None,), dtype="int32") for _ in range(2))
    parts = [layers.LSTM(4)(layers.Embedding(20, 4)(one)) for one in (ids, other)]
    report = masklib.audit(keras.Model([ids, other], layers.Concatenate()(parts)))

    assert {one.fix for one in report.findings if one.code == "MSK106"} == {""}


def mse(y: Any, p: Any) -> Any:
    """A user's function with the name of one of Keras's."""
    return ops.mean(ops.abs(y - p) ** 3, axis=-1)


@pytest.mark.parametrize(
    "loss", [mse, keras.losses.BinaryCrossentropy(label_smoothing=0.2), keras.losses.MeanSquaredError(reduction="sum")]
)
def test_only_a_loss_of_keras_with_default_settings_is_replaced(loss: Any):
    report = masklib.audit(steps_of(loss, 1, "sigmoid")(), SERIES, (SERIES[..., :1] > 0).astype("float32"))

    assert {one.fix for one in report.findings if one.code == "MSK201"} == {""}


@pytest.mark.parametrize(
    ("ids", "pad_id", "mask"),
    [(np.where(IDS == 0, 9, IDS), 9, "mask = ids != 9"), (np.where(IDS == 1, 0, IDS), 0, "")],
    ids=["another id", "the pad id between the steps"],
)
def test_a_mask_is_written_only_if_it_marks_the_padding_and_nothing_else(ids: Any, pad_id: int, mask: str):
    names, lines = graph("reader = layers.LSTM(4)")
    report = masklib.audit(built(names, lines), ids, pad_id=pad_id)

    assert {one.fix.partition("\n")[0] for one in report.findings if one.code == "MSK106"} == {mask}
