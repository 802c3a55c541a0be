"""Whether a model's outputs at valid steps are the same in every situation."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, Runner
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.uses import is_embedding, reads, watched
from masklib.auditing.invariance import causality, injecting, situations
from masklib.auditing.invariance.comparing import Axes, Distance, ShapeError, distance, grown_axes, valid_elements
from masklib.auditing.invariance.locating import Follower, likely_axes
from masklib.auditing.invariance.noise import RANDOM, Noise, noise_of, rounded_otherwise, unit_of
from masklib.auditing.invariance.results import Leak, Passed, Place, Untested
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.tracing.watch import CallRecord
from masklib.errors import UntestableError

Array = NDArray[Any]
Verdict = Leak | Passed | Untested

_NO_TIME = "no output has a time axis"


class Outputs:
    """The outputs of a model for one batch, what is noise in them, and their time axes.

    Args:
        runner: of the model.
        batch: as given.
        seen: its record, with inputs and outputs.
        seed: of all draws.

    Raises:
        UntestableError: an output is random, or no number at valid steps.
    """

    def __init__(self, runner: Runner, batch: Batch, seen: Sequence[CallRecord], seed: int) -> None:
        self.runner = runner
        self.batch = batch
        self._given = batch  # its padding, also where steps of several leaves count as one
        self.seen = list(seen)
        self.seed = seed
        self.notes: list[str] = []
        self.objectives: dict[Any, Any] = {}  # so that each is compiled once
        self.base = runner.outputs(batch.inputs)
        self.names = list(runner.names)
        self.pack = runner.pack
        self.masks = list(runner.masks)
        self.unit = unit_of(runner.model)
        self._masks: dict[int, list[Array | None]] = {}
        self._results: dict[int, tuple[Situation, list[Array]]] = {}  # by id; kept with it, so that no id is used again
        with causality.claims_of(runner.model) as self._causal, runner.other_seeds():
            again = runner.outputs(batch.inputs)
        self._check_repeats(again)
        self.longer, self.refused = self._longer()
        self.unknown: dict[int, str] = {}  # outputs whose valid steps are not known, and why
        self.axes = [self._axes_of(index) for index in range(len(self.base))]
        self._check_numbers()
        self.sources: dict[str, list[Distance]] = {"the same again": self._distances(again)}
        self.noise = self._measure_noise()
        self._follower = Follower(runner, batch, seen, self.longer, self.steps)

    @property
    def steps(self) -> int:
        """Return by how many steps longer padding is longer."""
        return variants.extra_steps(self.batch)

    @property
    def much(self) -> float:
        """Return the relative difference that is no noise."""
        return max(RANDOM, 4 * self.unit)

    def of(self, situation: Situation) -> list[Array]:
        """Return the outputs in a situation; computed once.

        Raises:
            CallError: the model does not take it.
        """
        if id(situation) not in self._results:
            with situation.changed():
                self._results[id(situation)] = (situation, self.runner.outputs(situation.batch.inputs))
                self._masks[id(situation)] = list(self.runner.masks)
        return self._results[id(situation)][1]

    def valid_steps(self, index: int) -> NDArray[np.bool_]:
        """Return which steps of axis 1 of an output are valid, (B, T)."""
        shape = self.base[index].shape[:2]
        return np.broadcast_to(valid_elements(shape, {1: self.axes[index][1]}, self.batch), shape)

    def masks_of(self, situation: Situation) -> list[Array | None]:
        """Return the masks that the outputs in a situation carry."""
        self.of(situation)
        return self._masks[id(situation)]

    def verdicts(self, causal: bool | None) -> list[Verdict]:
        """Return what was found in every situation, for every output; nothing of a situation that cannot be."""
        found = self._of_longer()
        found += self._of_change("padded content", self.contents)
        found += self._of_change("masked content", self.injected)
        found += self._of_change("embedding row", self.rows)
        found += self._untested_rows()
        found += self._of_change("batch mates", situations.batch_mates(self.batch), "the batch has one sample only")
        found += self._of_change("no padding", self.unpadded, "no sample has padding of its own")
        return found + self._of_later(causal)

    def of_empty(self) -> dict[str, float]:
        """Return for each output, by name, what is no finite number in it where a sample holds nothing but padding."""
        try:
            outputs = self.runner.outputs(variants.with_an_empty_sample(self.batch).inputs)
        except CallError:
            return {}
        found = zip(self.names, (array[0][~np.isfinite(array[0])] for array in outputs), strict=True)
        return {name: float(bad[0]) for name, bad in found if bad.size}

    @cached_property
    def contents(self) -> list[Situation]:
        """Return the situations with other content at padded steps."""
        return list(situations.padded_content(self._given, self.seed))

    @cached_property
    def for_training(self) -> list[Situation]:
        """Return the situations in which loss, gradients and statistics must be the same."""
        rows = [one for one in self.rows if not one.is_penalized]  # a regularizer may look at the row of padding
        return [*self.longer, *self.contents, *rows]

    @cached_property
    def unpadded(self) -> list[Situation]:
        """Return the situations without padding."""
        return situations.no_padding(self.batch, 2 if keras.backend.backend() == "jax" else 4)  # each is compiled

    @cached_property
    def injected(self) -> list[Situation]:
        """Return the situations with other content at masked steps inside of the model."""
        return list(injecting.masked_content(self.batch, self.seen, self.seed, is_fixed=bool(self.refused)))

    @cached_property
    def rows(self) -> list[Situation]:
        """Return the situations with another embedding row of padding, where it serves as padding only."""
        if self._is_padding_a_guess:
            return []
        found = list(situations.embedding_rows(self.runner.model, self._given, self.seen, self.seed))
        return [one for one in found if not (self._changes_outputs(one) and self._is_used_otherwise(one))]

    @property
    def _is_padding_a_guess(self) -> bool:
        """Return whether nothing tells sequences from other ids: inputs are made, lengths fixed, and no layer makes a mask."""
        has_mask = any(mask is not None for call in self.seen for mask in call.masks_out)
        return self.batch.is_made and not self.longer and not has_mask

    def _longer(self) -> tuple[list[Situation], list[tuple[Situation, str]]]:
        """Return the situations with longer padding that the model takes, and those that it does not, and why."""
        taken, refused = [], []
        for index in range(len(self.batch.groups)):
            situation = situations.longer_padding(self.batch, (index,))
            why = self._refusal(situation)
            if why:
                refused.append((situation, why))
            else:
                taken.append(situation)
        merged = self._merged([one.groups[0] for one, _ in refused])
        if merged is None:
            return taken, refused
        self.batch = merged
        return self._longer()

    def _refusal(self, situation: Situation) -> str:
        """Return why the model does not take longer padding; "" if it does."""
        try:
            shapes = [array.shape for array in self.of(situation)]
            if any(shape[:1] != array.shape[:1] for shape, array in zip(shapes, self.base, strict=True)):
                return "its outputs become of another number of samples"
            self._check_rows(situation)
        except CallError as error:
            return str(error)
        return ""

    def _merged(self, groups: Sequence[int]) -> Batch | None:
        """Return the batch with groups made one that can only be made longer together; None if that is not so.

        Leaves that have as many steps may be laid side by side, and padded each for itself; a step of them is valid where any is.
        """
        alike = [one for one in map(self.batch.groups.__getitem__, groups) if one.axis == 1]
        if len(alike) < 2 or len({(one.steps, one.side) for one in alike}) > 1 or len(alike) < len(groups):
            return None
        if self._refusal(situations.longer_padding(self.batch, tuple(groups))):
            return None
        return variants.merged(self.batch, groups)

    def _check_rows(self, situation: Situation) -> None:
        """Raise if an Embedding of positions has too few rows for more steps: not every backend says so."""
        own = [leaf.array for leaf in self.batch.leaves]
        positions = [call for call in self.seen if is_embedding(call) and not any(reads(call, array) for array in own)]
        for call in watched(self.runner.model, situation.batch.inputs) if positions else []:
            if is_embedding(call) and call.inputs and call.inputs[0].max(initial=0) >= call.operation.input_dim:
                msg = f"{call.path!r} has {call.operation.input_dim} rows"
                raise CallError(msg)

    def _axes_of(self, index: int) -> Axes:
        """Return the time axes of an output: those that grow with padding; where none can, those that are as long."""
        shape = self.base[index].shape
        found: dict[int, int] = {}
        for situation in self.longer:
            try:
                grown = grown_axes(shape, self.of(situation)[index].shape, self.steps)
            except ShapeError as error:
                self.unknown[index] = str(error)
                continue
            found |= dict.fromkeys(grown, situation.groups[0])
        fixed = {situation.groups[0] for situation, _ in self.refused}
        return found | {
            axis: group for axis, group in likely_axes(shape, self.batch).items() if group in fixed and axis not in found
        }

    def _check_repeats(self, again: Sequence[Array]) -> None:
        """Raise if an output is random."""
        for name, first, second in zip(self.names, self.base, again, strict=True):
            apart = distance(first, second)
            if apart.relative > self.much:
                msg = f"Output {name!r} must be the same when computed again, it differs by {apart.relative:.1%} of its scale. "
                raise UntestableError(msg + "Switch off what is random when training=False; nothing was tested.")

    def _check_numbers(self) -> None:
        """Raise if an output is not a number at a valid step."""
        for index, (name, array, axes) in enumerate(zip(self.names, self.base, self.axes, strict=True)):
            bad = ~np.isfinite(array) & valid_elements(array.shape, axes, self.batch)
            if bad.any() and not self._is_by_padding(index, np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))):
                at = [int(i) for i in np.argwhere(bad)[0]]
                msg = f"Output {name!r} must be a finite number at valid steps, it is {array[tuple(at)]} in sample {at[0]}. "
                raise UntestableError(msg + "Look for a division by a count of 0, or a logarithm of 0; nothing was tested.")

    def _is_by_padding(self, index: int, samples: Array) -> bool:
        """Return whether padding makes an output of these samples no number: without it, all that can be had are."""
        found = [one for one in self.unpadded if set(one.rows) & set(samples.tolist())]
        padded = variants.own_lengths(self.batch)[samples].min(axis=1) < max(group.steps for group in self.batch.groups)
        try:
            return bool(found) and bool(padded.all()) and all(np.isfinite(self.of(one)[index]).all() for one in found)
        except CallError:
            return False

    def _measure_noise(self) -> list[Noise]:
        """Return the noise of each output."""
        turned = situations.in_another_order(self.batch)
        order = list(turned.other_rows)
        found = self._distances([array[order] for array in self.of(turned)])
        if max(one.relative for one in found) <= self.much:  # else samples depend on their place, which is no noise
            self.sources["batch order"] = found
        with rounded_otherwise(self.runner.model, self.unit, self.seed):
            self.rounded = self.runner.outputs(self.batch.inputs)
        self.sources["weights one unit off"] = self._distances(self.rounded)
        by_output = zip(*self.sources.values(), strict=True)
        return [noise_of(distances, self.unit) for distances in by_output]

    def _distances(self, others: Sequence[Array]) -> list[Distance]:
        """Return how far outputs for the batch as given are from those first computed."""
        both = zip(self.base, others, self.axes, strict=True)
        return [distance(first, other, valid_elements(first.shape, axes, self.batch)) for first, other, axes in both]

    def _of_longer(self) -> list[Verdict]:
        """Return the verdicts on longer padding: one for each output, and one for each group that cannot be longer."""
        found = self._of_change("longer padding", self.longer)
        for situation, why in self.refused:
            name = self.batch.groups[situation.groups[0]].name
            told = f"the model takes no more steps of {name}: {why}"
            found += [Untested("longer padding", "output", output, told) for output in self.names]
        return found

    def _of_later(self, causal: bool | None) -> list[Verdict]:
        """Return the verdicts on later steps, where the model is causal or a layer of it says so.

        An output leaks if it depends on those of every input of its steps: a decoder may look at all steps of its encoder.
        """
        if causal is False or not (causal or self._causal):
            return []
        groups = sorted({group for axes in self.axes for group in axes.values() if self.batch.groups[group].axis == 1})
        found = [one for group in groups for one in situations.later_steps(self.batch, group, self.seed)]
        tried = [self._of_change("later steps", [one]) for one in found] or [self._of_change("later steps", [], _NO_TIME)]
        verdicts = [min(of_output, key=_mildness) for of_output in zip(*tried, strict=True)]
        return verdicts if causal else [one for one in verdicts if not self._is_meant(one)]

    def _is_meant(self, verdict: Verdict) -> bool:
        """Return whether later steps come in by a layer that is made for it, so that the model as a whole is not causal.

        Attention that looks ahead beside attention that does not is a slip: nobody predicts the next step so.
        """
        if not isinstance(verdict, Leak):
            return False
        at = next((call.operation for call in self.seen if call.path == verdict.layer), None)
        meant = at is not None and id(at) not in self._causal and causality.looks_ahead(at)
        claims = [call.operation for call in self.seen if id(call.operation) in self._causal]
        meant = meant and not (causality.attends(at) and any(map(causality.attends, claims)))
        if meant:
            self.notes.append(f"{verdict.of!r} depends on later steps by {verdict.layer!r}, although another layer is causal")
        return meant

    def _untested_rows(self) -> list[Verdict]:
        """Return what to say of Embeddings whose row of padding cannot be changed."""
        if self.rows or not situations.has_embedding_of_padding(self._given, self.seen):
            return []
        why = "each Embedding looks up its row of padding for something else, too"
        if self._is_padding_a_guess:
            why = "nothing in the model says that some ids are padding: give inputs, padded as yours are"
        return [Untested("embedding row", "output", name, why) for name in self.names]

    def _of_change(self, change: str, found: Sequence[Situation], otherwise: str = "") -> list[Verdict]:
        """Return a verdict for each output; `otherwise` is why, where there should be such a situation."""
        if not found:
            return [Untested(change, "output", name, otherwise) for name in self.names if otherwise]
        return [self._worst(change, index, found) for index in range(len(self.names))]

    def _worst(self, change: str, index: int, found: Sequence[Situation]) -> Verdict:
        """Return the verdict on one output: of the situation that changes it most."""
        name, tolerance = self.names[index], self.noise[index].tolerance
        if index in self.unknown and change != "batch mates":
            return Untested(change, "output", name, self.unknown[index])
        tried, reasons = self._tried(index, found)
        if not tried:
            return Untested(change, "output", name, reasons[0])
        situation, apart = max(tried, key=lambda pair: pair[1].relative)
        if apart.relative <= tolerance:
            return Passed(change, "output", name, apart.relative, tolerance)
        layer = self._follower.enters(situation, apart.relative, tolerance)
        example = self._example(situation, apart, index)
        place = Place(index, situation, self.batch, self.axes[index], apart.scale)
        return Leak(change, "output", name, apart.size, apart.relative, tolerance, layer, example, place=place)

    def _tried(self, index: int, found: Sequence[Situation]) -> tuple[list[tuple[Situation, Distance]], list[str]]:
        """Return how far each situation changes an output, relative to the whole output's scale; and why others do not tell."""
        tried, reasons = [], []
        for situation in found:
            try:
                apart = situation.compare(self.base[index], self.of(situation)[index], self.axes[index], self.batch)
                tried.append((situation, replace(apart, scale=self.noise[index].scale)))
            except (CallError, ShapeError) as error:
                reasons.append(str(error))
        return tried, reasons

    def _changes_outputs(self, situation: Situation) -> bool:
        """Return whether some output differs in a situation beyond the noise."""
        for index, noise in enumerate(self.noise):
            tried, _ = self._tried(index, [situation])
            if any(apart.relative > noise.tolerance for _, apart in tried):
                return True
        return False

    def _is_used_otherwise(self, situation: Situation) -> bool:
        """Return whether an embedding row changes outputs where nothing is padded, such as one of tied weights."""
        for batch in self._without_pads():
            try:
                plain = self.runner.outputs(batch.inputs)
                with situation.changed():
                    other = self.runner.outputs(batch.inputs)
            except CallError:
                continue
            both = zip(plain, other, self.noise, strict=True)
            return any(distance(first, second).size > noise.tolerance * noise.scale for first, second, noise in both)
        return False

    def _without_pads(self) -> list[Batch]:
        """Return batches in which no id is padding: samples that are full, and samples without their padding."""
        lengths = variants.own_lengths(self._given)
        full = np.flatnonzero((lengths == [group.steps for group in self._given.groups]).all(axis=1))
        found = [variants.select(self.batch, full)] if len(full) else []
        found += [one.batch for one in reversed(self.unpadded)]
        return [one for one in found if not any((leaf.array == leaf.pad).any() for leaf in one.leaves if leaf.kind == "ids")]

    def _example(self, situation: Situation, apart: Distance, index: int) -> str:
        """Return one number before and after."""
        sample = situation.rows[apart.at[0]]
        names = ["step" if axis in self.axes[index] else "feature" for axis in range(1, len(apart.at))]
        where = "".join(f", {name} {at}" for name, at in zip(names, apart.at[1:], strict=True))
        return f"sample {sample}{where}: {apart.first:.4g} {situation.labels[0]}, {apart.second:.4g} {situation.labels[1]}"


def _mildness(verdict: Verdict) -> tuple[int, float]:
    """Return how mild a verdict is, for comparison: nothing found, then leaks by size, then what could not be tested."""
    return (Passed, Leak, Untested).index(type(verdict)), getattr(verdict, "relative", 0.0)
