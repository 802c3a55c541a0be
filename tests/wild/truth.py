"""What is true of a specimen, found by brute force through `predict`, `evaluate` and `fit`.

The same samples are given in variants: alone and without padding, with longer padding, in batches each padded to its own length.
What changes by more than rounding depends on padding. Nothing here uses masks or the audit.

What counts as rounding is measured: the batch is computed once more with its samples in another order, which changes nothing but
the order of sums. That noise is below 1e-6 of the scale of outputs and reports, and below 1e-5 of that of a step of `fit`, which
is the difference of two weights. `BAR` is ten times that; where a model is noisier, ten times its own noise is the bar.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from masklib.compat import to_numpy
from tests.wild.serving import dataset
from tests.wild.specimens import Array, Batch, Specimen
from tests.wild.variants import Variants, flatten

BAR = 1e-4
KINDS = ("output", "loss", "metric", "fit")


@dataclass(frozen=True)
class Measured:
    """How far padding moved one kind of quantity.

    Attributes:
        size: the largest difference, relative to the scale of the quantity.
        noise: the difference that another order of the samples makes.
        by: what moved it most.
    """

    size: float = 0.0
    noise: float = 0.0
    by: str = ""

    @property
    def moved(self) -> bool:
        """Whether it is more than rounding."""
        return self.size > max(BAR, 10 * self.noise)


class Truth:
    """Measures one specimen."""

    def __init__(self, specimen: Specimen) -> None:
        self.specimen = specimen
        self.model = specimen.build()
        silence(self.model)
        self.variants = Variants(specimen)
        self.found: dict[str, Measured] = {}
        self.refused: dict[str, str] = {}  # the methods of the model that raise, and the error

    def measure(self) -> dict[str, Measured]:
        """Return what padding moved, for each kind that the model has."""
        self._measure_outputs()
        if getattr(self.model, "compiled", False) and self.variants.batch.y is not None:
            self._try("evaluate", self._measure_reports)
            self._try("fit", self._measure_fit)
        return self.found

    def _try(self, method: str, measure: Callable[[], None]) -> None:
        """Measure what a method of the model returns; if the method fails for this model, keep the reason."""
        start = self.model.get_weights()
        try:
            measure()
        except Exception as error:  # of any backend
            self.refused[method] = f"{method} raises {type(error).__name__}: {error}"[:300]
            self.model.set_weights(start)

    @property
    def samples(self) -> tuple[int, ...]:
        """All samples of the batch."""
        return self.variants.all

    def _measure_outputs(self) -> None:
        """Whether `predict` says something else at valid steps."""
        whole = self._predict(self.variants.batch)
        other = self._predict(self.variants.take(self.samples[::-1]))
        self._compare_outputs("another order", whole, other, self.samples[::-1])
        if self.specimen.fixed:
            self._with_other_pad_rows(lambda: self._compare_outputs("pad row", whole, self._predict(self.variants.batch)))
            return
        self._compare_outputs("further", whole, self._predict(self.variants.further()))
        for samples in self._parties():
            self._compare_outputs(f"samples {samples}", whole, self._predict(self.variants.own(samples)), samples)

    def _parties(self) -> Iterator[tuple[int, ...]]:
        """Yield each sample alone, and then beside others."""
        yield from ((one,) for one in self.samples)
        yield from ((self.samples[i + 1], self.samples[i]) for i in range(len(self.samples) - 1))

    def _compare_outputs(self, by: str, whole: list[Array], other: list[Array], samples: tuple[int, ...] | None = None) -> None:
        """Compare outputs of some samples with those of the whole batch."""
        samples = samples or self.samples
        for sample in samples:
            one = self.variants.valid(whole, self.samples, sample)
            self._note("output", by, one, self.variants.valid(other, samples, sample))

    def _measure_reports(self) -> None:
        """Whether `evaluate` says something else."""
        batch = self.variants.batch
        whole = self._evaluate([batch])
        self._compare_reports("another order", whole, self._evaluate([self.variants.take(self.samples[::-1])]))
        if self.specimen.fixed:
            self._with_other_pad_rows(lambda: self._compare_reports("pad row", whole, self._evaluate([batch])))
            return
        self._compare_reports("further", whole, self._evaluate([self.variants.further()]))
        parts = self.samples[: len(self.samples) // 2], self.samples[len(self.samples) // 2 :]
        own = [self.variants.own(part) for part in parts]
        self._compare_reports("batches", self._evaluate(own), self._evaluate([self.variants.further(parts[0]), own[1]]))

    def _compare_reports(self, by: str, one: dict[str, float], other: dict[str, float], kind: str = "") -> None:
        """Compare what is reported, number by number."""
        for name in one:
            self._note(kind or kind_of(name), f"{by} ({name})", [np.asarray(one[name])], [np.asarray(other[name])])

    def _measure_fit(self) -> None:
        """Whether a step of `fit` makes other weights, or reports something else."""
        self.start = self.model.get_weights()
        one = self._fit(self.variants.batch)
        self._compare_steps("another order", one, self._fit(self.variants.take(self.samples[::-1])))
        if not self.specimen.fixed:
            self._compare_steps("further", one, self._fit(self.variants.further()))

    def _compare_steps(self, by: str, one: Any, other: Any) -> None:
        """Compare two steps: all trained weights on one scale, each of the others on its own, and the reports."""
        for name, before, after in zip(("weights", "states"), one[:2], other[:2], strict=True):
            if before:
                self._note("fit", f"{by} ({name})", before, after)
        self._compare_reports(f"{by}, fit", one[2], other[2], "fit")

    def _with_other_pad_rows(self, do: Callable[[], None]) -> None:
        """Do something while the row of id 0 is another one in each Embedding that looks up the ids of an input."""
        start = self.model.get_weights()
        looked_up = self._embeddings_of_inputs()
        for variable in self.model.weights:
            if any(variable is one for one in looked_up):
                values = np.array(to_numpy(variable.value))
                values[0] = values[0] * -2 + 1
                variable.assign(values)
        do()
        self.model.set_weights(start)

    def _embeddings_of_inputs(self) -> list[Any]:
        """Return the matrices of the Embeddings that get an input as it is: those of positions look up something else."""
        given = [np.asarray(one) for one in flatten(self.variants.batch.x)]
        found: list[Any] = []
        layers = [one for one in self.model._flatten_layers() if isinstance(one, keras.layers.Embedding)]

        def watched(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
            def seen(inputs: Any, *args: Any, **kwargs: Any) -> Any:
                ids = to_numpy(inputs)
                found.extend([layer.embeddings] if any(np.array_equal(ids, one) for one in given) else [])
                return call(inputs, *args, **kwargs)

            return seen

        for layer in layers:
            object.__setattr__(layer, "call", watched(layer, layer.call))
        try:
            self.model(self.specimen.give(self.variants.batch.x), training=False)
        finally:
            for layer in layers:
                object.__delattr__(layer, "call")
        return found

    def _predict(self, batch: Batch) -> list[Array]:
        """Return the outputs in flat order."""
        outputs = self.model.predict(self.specimen.give(batch.x), batch_size=self.specimen.n_samples, verbose=0)
        return [np.asarray(one, dtype="float64") for one in flatten(outputs)]

    def _evaluate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Return loss and metrics of some batches."""
        return dict(self.model.evaluate(dataset(batches, self.specimen.give), steps=len(batches), verbose=0, return_dict=True))

    def _fit(self, batch: Batch) -> tuple[list[Array], list[Array], dict[str, float]]:
        """Return what one step moves, trained weights and others, and what it reports; the weights are put back."""
        self.model.set_weights(self.start)
        self.model.make_train_function(force=True)  # TensorFlow cannot differentiate every model for unknown lengths
        history = self.model.fit(
            dataset([batch], self.specimen.give), epochs=1, steps_per_epoch=1, shuffle=False, verbose=0
        ).history
        moved = [after - before for after, before in zip(self.model.get_weights(), self.start, strict=True)]
        trained = {id(one) for one in self.model.trainable_variables}
        pairs = [(id(one) in trained, step) for one, step in zip(self.model.weights, moved, strict=True)]
        self.model.set_weights(self.start)
        weights = [np.concatenate([step.ravel() for is_trained, step in pairs if is_trained])]
        states = [step for is_trained, step in pairs if not is_trained and step.dtype.kind == "f"]
        return weights, states, {name: values[0] for name, values in history.items()}

    def _note(self, kind: str, by: str, one: list[Array], other: list[Array]) -> None:
        """Keep the largest difference; of another order it is the noise."""
        size = max(difference(a, b) for a, b in zip(one, other, strict=True))
        known = self.found.get(kind, Measured())
        if by.startswith("another order"):
            self.found[kind] = Measured(known.size, max(known.noise, size), known.by)
        elif size >= known.size:
            self.found[kind] = Measured(size, known.noise, by)
        else:
            self.found[kind] = known


def difference(one: Array, other: Array) -> float:
    """Return the largest difference of two arrays, relative to the largest number; inf where only one has a number.

    It is inf too where one has fewer steps than the other: `predict` may lose some.
    """
    if one.size == 0 and other.size == 0:
        msg = "Two arrays that are not empty are needed."
        raise ValueError(msg)
    if one.shape != other.shape:
        return float("inf")
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    one, other = np.nan_to_num(one, posinf=0, neginf=0), np.nan_to_num(other, posinf=0, neginf=0)
    scale = max(np.abs(one).max(), np.abs(other).max())
    return float(np.abs(one - other).max() / scale) if scale > 0 else 0.0


def kind_of(name: str) -> str:
    """Return whether a number that Keras reports is a loss or a metric."""
    return "loss" if name.endswith("loss") else "metric"


def silence(model: Any) -> None:
    """Switch off what is random in training."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for name in ("rate", "dropout", "recurrent_dropout", "stddev", "dropout_rate", "_dropout"):
            if isinstance(vars(layer).get(name), float):
                setattr(layer, name, 0.0)
