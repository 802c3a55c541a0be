"""What an audit costs, as ratios: tracing a model against building it, an audit against one predict and one evaluate.

Run `python bench/audit.py`. Each ratio is the median of turns in one process; absolute times are not comparable between machines.
"""

# ruff: noqa: T201 -- a benchmark prints

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from masklib.auditing.report.report import audit
from masklib.auditing.tracing.trace import trace
from masklib.auditing.tracing.watch import Keep, record

AIM_TRACE = 3.0  # times building the model
AIM_AUDIT = 15.0  # times one predict and one evaluate, of a model just compiled
AIM_WARM = {"audit": 6.0, "audit, quick": 2.0}  # of a model that has been used


def seconds(act: Callable[[], Any]) -> float:
    """Return how long `act` takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def chain(n_layers: int, steps: int) -> Any:
    """Return a functional model of so many layers: Embedding with a mask, then Dense, LayerNormalization, Add in turn."""
    inputs = keras.Input((steps,), dtype="int32")
    x = layers.Embedding(1000, 32, mask_zero=True)(inputs)
    before, n_made = x, 1
    while n_made < n_layers:
        kind = n_made % 3
        x = layers.Dense(32)(x) if kind == 1 else layers.LayerNormalization()(x) if kind == 2 else layers.Add()([x, before])
        before = x if kind == 0 else before
        n_made += 1
    return keras.Model(inputs, x)


def transformer(n_blocks: int, steps: int, width: int = 32) -> Any:
    """Return a functional transformer: attention, Add, LayerNormalization, two Dense, Add, LayerNormalization in each block."""
    inputs = keras.Input((steps,), dtype="int32")
    x = layers.Embedding(1000, width, mask_zero=True)(inputs)
    for _ in range(n_blocks):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(x, x)]))
        inner = layers.Dense(2 * width if width == 32 else 4 * width, activation="relu")(x)
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(width)(inner)]))
    return keras.Model(inputs, layers.Dense(10)(x))


def stacked(n_layers: int, steps: int) -> Any:
    """Return a sequential model of stacked LSTMs."""
    lstms = [layers.LSTM(32, return_sequences=True) for _ in range(n_layers)]
    return keras.Sequential([keras.Input((steps,), dtype="int32"), layers.Embedding(1000, 32, mask_zero=True), *lstms])


def padded_ids(samples: int, steps: int) -> np.ndarray[Any, Any]:
    """Return ids (B, T) with 0 after each sample's length."""
    rng = np.random.default_rng(0)
    is_pad = np.arange(steps) >= rng.integers(steps // 4, steps + 1, size=(samples, 1))
    return np.where(is_pad, 0, rng.integers(1, 1000, size=is_pad.shape))


def tracing(options: argparse.Namespace) -> None:
    """Print how long it takes to trace a model, and to record it with all tensors, against building it."""
    ids = padded_ids(options.batch, options.steps)
    subjects = {
        "200 layers": lambda: chain(200, options.steps),
        "12 blocks": lambda: transformer(12, options.steps),
        "3 LSTMs": lambda: stacked(3, options.steps),
    }
    print(f"{'model':<12}{'trace / build':>16}{'record, kept / build':>24}{'trace / one call':>20}")
    for name, build in subjects.items():
        trace(build(), ids)  # what TensorFlow does for a first time is not counted
        turns = [_turn(build, ids) for _ in range(options.turns)]
        ratios = [statistics.median(column) for column in zip(*turns, strict=True)]
        aim = f"  {'within' if ratios[0] <= AIM_TRACE else 'over'} the aim of {AIM_TRACE}" if name == "200 layers" else ""
        print(f"{name:<12}{ratios[0]:16.2f}{ratios[1]:24.2f}{ratios[2]:20.2f}{aim}", flush=True)


def _turn(build: Callable[[], Any], ids: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Return one turn's ratios."""
    building = seconds(build)
    model = build()
    calling = seconds(lambda: model(ids, training=False))
    traced = seconds(lambda: trace(model, ids))
    kept = seconds(lambda: record(model, ids, keep=Keep.ALL))
    return traced / building, kept / building, traced / calling


def auditing(options: argparse.Namespace) -> None:
    """Print how long an audit of a batch takes against one `predict` and one `evaluate` of it, each by a model just compiled."""
    ids = padded_ids(options.batch, options.steps)
    subjects = {
        "3 LSTMs": lambda: _compiled(stacked(3, options.steps)),
        "12 blocks": lambda: _compiled(transformer(12, options.steps)),
    }
    print(f"{'model':<12}{'predict and evaluate, s':>26}{'audit, s':>12}{'ratio':>8}")
    for name, build in subjects.items():
        audit(build(), ids)  # what TensorFlow does for a first time is not counted
        turns = [_turn_of_audit(build, ids) for _ in range(min(options.turns, 3))]
        used, took = (statistics.median(column) for column in zip(*turns, strict=True))
        aim = f"  {'within' if took / used <= AIM_AUDIT else 'over'} the aim of {AIM_AUDIT}"
        print(f"{name:<12}{used:26.2f}{took:12.2f}{took / used:8.2f}{aim}", flush=True)


def large(options: argparse.Namespace) -> None:
    """Print what an audit of a large transformer takes, in time and memory, against `predict` and `evaluate` of one batch."""
    model = _compiled(transformer(12, options.long, width=288))
    ids = padded_ids(options.batch, options.long)
    targets = np.zeros((*ids.shape, model.output_shape[-1]), "float32")

    def use() -> None:
        model.predict(ids, verbose=0)
        model.evaluate(ids, targets, verbose=0)

    cold = seconds(use)
    held = peak_bytes()
    print(f"{model.count_params() / 1e6:.1f} M weights, {options.batch} x {options.long} steps")
    for name, is_quick in (("audit, quick", True), ("audit", False)):
        before = seconds(use)
        took = seconds(lambda is_quick=is_quick: audit(model, ids, targets, quick=is_quick))
        warm = (before + seconds(use)) / 2  # other work on the machine slows both
        aim = f"{'within' if took / warm <= AIM_WARM[name] else 'over'} the aim of {AIM_WARM[name]} times warm"
        memory = f"peak memory {peak_bytes() / held:.1f} times {held / 1e9:.1f} GB"
        used = f"predict and evaluate {warm:.1f} s warm, {cold:.1f} s cold"
        print(
            f"{name}: {took:.1f} s, {took / warm:.1f} times warm, {took / cold:.1f} times cold; {used}; {memory}; {aim}",
            flush=True,
        )


def peak_bytes() -> int:
    """Return the most memory that this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _turn_of_audit(build: Callable[[], Any], ids: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return the seconds of one predict and one evaluate, and those of an audit."""
    model, other = build(), build()
    targets = np.zeros((*ids.shape, model.output_shape[-1]))

    def use() -> None:
        model.predict(ids, verbose=0)
        model.evaluate(ids, targets, verbose=0)

    return seconds(use), seconds(lambda: audit(other, ids, targets))


def _compiled(model: Any) -> Any:
    """Return a model, compiled."""
    model.compile(loss="mse", optimizer="adam", metrics=["mae"])
    return model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="trace,audit,large", help="parts to measure, with commas between them")
    parser.add_argument("--batch", type=int, default=16, help="samples in a batch")
    parser.add_argument("--steps", type=int, default=32, help="time steps")
    parser.add_argument("--long", type=int, default=512, help="time steps of the large model")
    parser.add_argument("--turns", type=int, default=5, help="turns of each measurement")
    options = parser.parse_args()
    print(f"keras {keras.__version__} on {keras.backend.backend()}, {vars(options)}")
    parts: dict[str, Callable[[argparse.Namespace], None]] = {"trace": tracing, "audit": auditing, "large": large}
    for part in options.only.split(","):
        parts[part](options)


if __name__ == "__main__":
    main()
