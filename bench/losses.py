"""Step time of the masked losses relative to Keras's own unmasked loss of the same name.

Run `python bench/losses.py`. Both losses train the same tagging model, compiled alike, in the same process on the same
batch, in turns; the figure is the median of the ratios of neighbouring turns. Absolute times are not comparable between
machines, so only ratios are printed.
"""

# ruff: noqa: T201 -- a benchmark prints

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from masklib import losses

AIM = 1.05  # a masked step takes at most 5 % longer


class Case(NamedTuple):
    """A masked loss, the built-in loss of the same name, and what the model needs for them."""

    masked: keras.losses.Loss
    builtin: keras.losses.Loss
    activation: str
    n_outputs: int
    targets: str  # "class", "one-hot" or "values"


def build_cases(n_classes: int) -> dict[str, Case]:
    """Return what is compared, by the name of the loss; every masked loss finds padding in the targets."""
    k, m, is_padding_class = keras.losses, losses, np.eye(n_classes)[0]
    return {
        "sparse_categorical_crossentropy": Case(
            m.MaskedSparseCategoricalCrossentropy(0), k.SparseCategoricalCrossentropy(), "softmax", n_classes, "class"
        ),
        "categorical_crossentropy": Case(
            m.MaskedCategoricalCrossentropy(is_padding_class),
            k.CategoricalCrossentropy(),
            "softmax",
            n_classes,
            "one-hot",
        ),
        "binary_crossentropy": Case(m.MaskedBinaryCrossentropy(-1), k.BinaryCrossentropy(), "sigmoid", 17, "values"),
        "mean_squared_error": Case(m.MaskedMeanSquaredError(-1), k.MeanSquaredError(), "linear", 17, "values"),
        "mean_absolute_error": Case(m.MaskedMeanAbsoluteError(-1), k.MeanAbsoluteError(), "linear", 17, "values"),
    }


def build_model(case: Case, loss: keras.losses.Loss, options: argparse.Namespace) -> keras.Model:
    """Return a compiled tagger: Embedding, mostly a two-way LSTM, Dense."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(1000, 64, mask_zero=options.model_mask)]
    if not options.no_lstm:
        layers.append(keras.layers.Bidirectional(keras.layers.LSTM(options.units, return_sequences=True)))
    layers.append(keras.layers.Dense(case.n_outputs, activation=case.activation))
    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss=loss, jit_compile=options.jit)
    return model


def draw_batch(case: Case, n_samples: int, n_steps: int) -> tuple[Any, Any]:
    """Return token ids (B, T), 0 after each sample's length, and targets padded as the masked loss expects."""
    rng = np.random.default_rng(0)
    is_pad = np.arange(n_steps) >= rng.integers(n_steps // 4, n_steps + 1, size=(n_samples, 1))
    ids = np.where(is_pad, 0, rng.integers(1, 1000, size=is_pad.shape))
    if case.targets == "values":
        values = rng.integers(0, 2, size=(*is_pad.shape, case.n_outputs))
        return ids, np.where(is_pad[..., np.newaxis], -1, values).astype("float32")
    labels = np.where(is_pad, 0, rng.integers(1, case.n_outputs, size=is_pad.shape))
    return ids, labels if case.targets == "class" else np.eye(case.n_outputs, dtype="float32")[labels]


def time_step(step: Callable[[], Any], n_steps: int) -> float:
    """Return the seconds of `n_steps` calls; each waits for its loss."""
    start = time.perf_counter()
    for _ in range(n_steps):
        step()
    return time.perf_counter() - start


def measure_ratios(case: Case, options: argparse.Namespace) -> list[float]:
    """Return masked / built-in step times of neighbouring turns; the order within a turn alternates."""
    batch = [keras.ops.convert_to_tensor(array) for array in draw_batch(case, options.batch, options.steps)]
    steps = []
    for loss in (case.masked, case.builtin):
        model = build_model(case, loss, options)
        steps.append(functools.partial(model.train_on_batch, *batch))
    for step in 5 * steps:  # traces, compiles, warms up
        time_step(step, 1)
    ratios = []
    for turn in range(options.turns):
        order = (0, 1) if turn % 2 else (1, 0)
        seconds = {which: time_step(steps[which], options.repeats) for which in order}
        ratios.append(seconds[0] / seconds[1])
    return ratios


def main() -> None:
    """Print a table of ratios, then one line `ratio NAME MEDIAN` for each loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="samples in a batch")
    parser.add_argument("--steps", type=int, default=64, help="time steps")
    parser.add_argument("--classes", type=int, default=1000, help="classes of the categorical losses")
    parser.add_argument("--units", type=int, default=128, help="units of the LSTM, each way")
    parser.add_argument("--turns", type=int, default=41, help="pairs of timings")
    parser.add_argument("--repeats", type=int, default=3, help="training steps in one timing")
    parser.add_argument("--model-mask", action="store_true", help="the embedding makes a mask, which both losses use")
    parser.add_argument("--no-lstm", action="store_true", help="leave the LSTM out: little but the loss remains")
    parser.add_argument("--jit", action="store_true", help="compile the training step with XLA")
    options = parser.parse_args()
    print(f"masked / built-in training step, {vars(options)}, keras {keras.__version__}")
    print(f"{'loss':<34}{'median':>8}{'min':>8}{'max':>8}")
    medians = {}
    for name, case in build_cases(options.classes).items():
        ratios = measure_ratios(case, options)
        medians[name] = statistics.median(ratios)
        print(f"{name:<34}{medians[name]:8.3f}{min(ratios):8.3f}{max(ratios):8.3f}", flush=True)
    for name, median in medians.items():
        print(f"ratio {name} {median:.3f} {'within' if median <= AIM else 'over'} the aim of {AIM}")


if __name__ == "__main__":
    main()
