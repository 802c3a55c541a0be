"""The truth about a model, found by brute force: the same samples in several variants, and the largest difference.

Nothing here knows about masks. A sample is computed alone and without padding, with padding, with more of it, with other
content in it, beside other samples; any change is a fault. The audit is not used.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.compat import to_numpy
from tests.zoo.animals import Animal, layers_of
from tests.zoo.feeding import LONGER, SAMPLES, Serving, serve, valid_steps

Array = NDArray[Any]

FAULTY = 1e-3  # a relative difference that is not rounding
LONGEST, SHORTEST = 0, 1  # samples, in `LENGTHS`
CUT = 2  # the step from which on a causal model sees something else


class Truth:
    """The faults of one animal, each with the largest relative difference that was found; what was not tested is absent."""

    def __init__(self, animal: Animal) -> None:
        self.animal = animal
        self.model = animal.build()
        self.start = self.model.get_weights()
        self.known: dict[tuple[str, str], Any] = {}  # what the model with the weights `start` said to a serving
        self.sizes: dict[str, float] = {}

    def measure(self) -> dict[str, float]:
        """Return the size of every fault that can be tested."""
        self._measure_padding()
        self._measure_mates()
        if self.animal.causal:
            self._measure_future()
        if self.animal.target_feeds is not None:
            self._measure_losses()
            self._measure_batches()
            self._measure_training()
        return self.sizes

    def _measure_padding(self) -> None:
        """Whether outputs at valid steps change with the padding."""
        for one, other in self._paddings():
            self._compare("output", self._outputs(one), self._outputs(other), one.samples)
        if self._move_pad_rows():
            moved = self._say_outputs(Serving())
            self.model.set_weights(self.start)
            self._compare("output", self._outputs(Serving()), moved, SAMPLES)

    def _paddings(self) -> Iterator[tuple[Serving, Serving]]:
        """Yield pairs of servings that differ in their padding only."""
        whole, alone = Serving(), Serving(samples=(SHORTEST,))
        if self._is_free():
            yield whole, whole.but(garbage=1)
        if self.animal.fixed_length:
            return
        yield whole, whole.but(total=LONGER)
        if not self.animal.fixed_batch:
            yield alone.but(total=None), alone

    def _measure_mates(self) -> None:
        """Whether the outputs of a sample change with the other samples."""
        reference = self._outputs(Serving())
        others = Serving(versions={sample: 1 for sample in SAMPLES if sample != SHORTEST})
        self._compare("batch", reference, self._outputs(others), SAMPLES, only=SHORTEST)
        if not self.animal.fixed_batch:
            alone = self._outputs(Serving(samples=(SHORTEST,)))
            self._note("batch", self._valid(reference, SAMPLES, SHORTEST), self._valid(alone, (SHORTEST,), SHORTEST))

    def _measure_future(self) -> None:
        """Whether the outputs at steps before `CUT` change with what comes from there on."""
        one, other = self._outputs(Serving()), self._outputs(Serving(changed_from=CUT))
        before = [array[:CUT] for array in self._valid(one, SAMPLES, LONGEST)]
        after = [array[:CUT] for array in self._valid(other, SAMPLES, LONGEST)]
        self._note("future", before, after)

    def _measure_losses(self) -> None:
        """Whether what `evaluate` reports changes with the padding."""
        for one, other in self._paddings():
            if not self._all_found(self._report(one)):
                self._compare_reports(self._report(one), self._report(other))
        if not self._all_found(self._report(Serving())) and self._move_pad_rows():
            moved = self._say_report(Serving())
            self.model.set_weights(self.start)
            self._compare_reports(self._report(Serving()), moved)

    def _measure_batches(self) -> None:
        """Whether the metrics of two batches change where one of them is padded further, and nothing else does."""
        if self.animal.fixed_length or self.animal.fixed_batch or any(map(self._is_found, ("output", "batch", "loss", "metric"))):
            return
        first, second = Serving(samples=SAMPLES[: len(SAMPLES) // 2]), Serving(samples=SAMPLES[len(SAMPLES) // 2 :])
        own = self._say_report_of(first, second)
        further = self._say_report_of(first.but(total=LONGER), second)
        for name in (name for name in own if kind_of(name) == "metric"):
            self._note("batches", [np.asarray(own[name])], [np.asarray(further[name])])

    def _measure_training(self) -> None:
        """Whether the gradients, and what BatchNormalization keeps, change with the padding."""
        silence(self.model)
        for one, other in self._paddings():
            if not self._is_found("gradient"):
                self._compare_steps(self._step(one, self.start), self._step(other, self.start))
        self.model.set_weights(self.start)
        if not self._is_found("gradient") and self._move_pad_rows():
            moved = self.model.get_weights()
            self._compare_steps(self._step(Serving(), self.start), self._step(Serving(), moved))

    def _compare_steps(self, one: tuple[list[Array], list[Array]], other: tuple[list[Array], list[Array]]) -> None:
        """Compare what two steps moved: all gradients on one scale, and each statistic on its own."""
        self._note("gradient", [np.concatenate(one[0])], [np.concatenate(other[0])])
        if one[1]:
            self._note("statistics", one[1], other[1])

    def _is_free(self) -> bool:
        """Whether some padding may hold anything."""
        feeds = [*flatten(self.animal.feeds), *flatten(self.animal.target_feeds)]
        return any(feed is not None and feed.free for feed in feeds)

    def _move_pad_rows(self) -> bool:
        """Change the embeddings' row that stands for padding; return whether there is one."""
        moved = False
        for variable in self.model.weights:
            if variable.path.endswith("embeddings") and variable.shape[0] > self.animal.pad_id:
                values = np.array(to_numpy(variable.value))
                values[self.animal.pad_id] = values[self.animal.pad_id] * -2 + 1
                variable.assign(values)
                moved = True
        return moved

    def _serve(self, serving: Serving) -> tuple[Any, Any]:
        """Return inputs and targets, and forget what a stateful layer knows."""
        forget(self.model)
        return serve(self.animal.feeds, serving, "x"), serve(self.animal.target_feeds, serving, "y")

    def _outputs(self, serving: Serving) -> list[Array]:
        """Return the outputs in flat order, from memory where they are known."""
        key = ("outputs", repr(serving))
        if key not in self.known:
            self.known[key] = self._say_outputs(serving)
        found: list[Array] = self.known[key]
        return found

    def _say_outputs(self, serving: Serving) -> list[Array]:
        """Return the outputs in flat order."""
        inputs, _ = self._serve(serving)
        return [np.asarray(to_numpy(one), dtype="float64") for one in flatten(self.model(inputs, training=False))]

    def _valid(self, outputs: list[Array], samples: tuple[int, ...], sample: int) -> list[Array]:
        """Return what the outputs hold at the valid steps of one sample."""
        row = samples.index(sample)
        return [
            array[row] if feed is None else array[row][valid_steps(feed, sample, array.shape[1])]
            for array, feed in zip(outputs, self.animal.outputs, strict=True)
        ]

    def _compare(
        self, kind: str, one: list[Array], other: list[Array], samples: tuple[int, ...], only: int | None = None
    ) -> None:
        """Compare two batches of outputs at valid steps."""
        for sample in samples if only is None else (only,):
            self._note(kind, self._valid(one, samples, sample), self._valid(other, samples, sample))

    def _report(self, serving: Serving) -> dict[str, float]:
        """Return loss and metrics of one batch, from memory where they are known."""
        key = ("report", repr(serving))
        if key not in self.known:
            self.known[key] = self._say_report(serving)
        found: dict[str, float] = self.known[key]
        return found

    def _say_report(self, serving: Serving) -> dict[str, float]:
        """Return loss and metrics of one batch."""
        inputs, targets = self._serve(serving)
        self.model.reset_metrics()
        weights = self.animal.weights(serving)
        return dict(self.model.test_on_batch(inputs, targets, sample_weight=weights, return_dict=True))

    def _say_report_of(self, *servings: Serving) -> dict[str, float]:
        """Return loss and metrics of several batches."""
        served = [(*self._serve(one), self.animal.weights(one)) for one in servings]
        batches = (one if one[2] is not None else one[:2] for one in served)
        return dict(self.model.evaluate(batches, steps=len(servings), verbose=0, return_dict=True))

    def _compare_reports(self, one: dict[str, float], other: dict[str, float]) -> None:
        """Compare two reports, number by number."""
        for name in one:
            self._note(kind_of(name), [np.asarray(one[name])], [np.asarray(other[name])])

    def _is_found(self, kind: str) -> bool:
        """Whether a fault is known already, so that no more time is spent on it."""
        return self.sizes.get(kind, 0.0) > FAULTY

    def _all_found(self, report: dict[str, float]) -> bool:
        """Whether all that is reported is known to be at fault."""
        return all(self._is_found(kind_of(name)) for name in report)

    def _step(self, serving: Serving, start: list[Array]) -> tuple[list[Array], list[Array]]:
        """Return what one step of plain gradient descent moves: weights, and moving statistics."""
        self.model.set_weights(start)
        inputs, targets = self._serve(serving)
        self.model.train_on_batch(inputs, targets, sample_weight=self.animal.weights(serving))
        moved = [after - before for after, before in zip(self.model.get_weights(), start, strict=True)]
        is_kept = ["moving_" in variable.path for variable in self.model.weights]
        gradients = [array.ravel() for array, kept in zip(moved, is_kept, strict=True) if not kept]
        return gradients, [array for array, kept in zip(moved, is_kept, strict=True) if kept]

    def _note(self, kind: str, one: list[Array], other: list[Array]) -> None:
        """Keep the largest difference."""
        size = max(difference(a, b) for a, b in zip(one, other, strict=True))
        if not (self.animal.faults or all(np.isfinite(array).all() for array in one)):
            msg = f"{self.animal.name} is said to be healthy, and its {kind} is not finite."
            raise ValueError(msg)
        self.sizes[kind] = max(self.sizes.get(kind, 0.0), size)


def difference(one: Array, other: Array) -> float:
    """Return the largest difference of two arrays, relative to the largest number; inf where only one has a number."""
    if one.size == 0 or one.shape != other.shape:
        msg = f"Two arrays of the same shape, not empty, are needed, got {one.shape} and {other.shape}."
        raise ValueError(msg)
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    one, other = np.nan_to_num(one, posinf=0, neginf=0), np.nan_to_num(other, posinf=0, neginf=0)
    scale = max(np.abs(one).max(), np.abs(other).max())
    return float(np.abs(one - other).max() / scale) if scale > 0 else 0.0


def disagreements(animal: Animal, sizes: dict[str, float]) -> list[str]:
    """Return where what was measured is not what is said of the animal."""
    wrong = [f"{kind} is said to be at fault and was not tested" for kind in animal.faults - set(sizes)]
    for kind, size in sizes.items():
        if kind in animal.faults and size <= FAULTY:
            wrong.append(f"{kind} is said to be at fault and differs by {size:.1e} only")
        if kind not in animal.faults and size > animal.tolerance:
            wrong.append(f"{kind} is not said to be at fault and differs by {size:.1e}")
    return wrong


def kind_of(name: str) -> str:
    """Return whether a number that Keras reports is a loss or a metric."""
    return "loss" if name.endswith("loss") else "metric"


def flatten(structure: Any) -> list[Any]:
    """Return what nested dicts, lists and tuples hold, dicts in the order of their sorted names."""
    if isinstance(structure, dict):
        return [leaf for name in sorted(structure) for leaf in flatten(structure[name])]
    if isinstance(structure, (list, tuple)):
        return [leaf for one in structure for leaf in flatten(one)]
    return [structure]


def forget(model: Any) -> None:
    """Reset the states of stateful layers."""
    for layer in layers_of(model):
        if getattr(layer, "stateful", False):
            layer.reset_state()


def silence(model: Any) -> None:
    """Switch off what is random in training."""
    for layer in layers_of(model):
        for name in ("rate", "dropout", "recurrent_dropout", "stddev"):
            if isinstance(vars(layer).get(name), float):
                setattr(layer, name, 0.0)
