"""The situations in which a model gets the same sequences, and how results are compared with those of the batch as given."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import with_values
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.uses import is_embedding, reads
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.comparing import Axes, Distance, ShapeError, crop, distance, valid_elements
from masklib.auditing.tracing.watch import CallRecord

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Situation:
    """Inputs, or weights, that are changed in a way that must make no difference; a situation equals only itself.

    Attributes:
        change: the kind of change.
        batch: the changed inputs.
        rows: the samples of the batch as given that are compared.
        other_rows: the samples of the changed batch with which they are compared.
        changed: a context within which something else is changed, too.
        labels: the words after a number of the batch as given, and after one of the changed batch.
        groups: whose padding was made longer.
        only: (B, T) of one group: only these steps are compared; None: all valid steps.
        only_group: that group.
        is_penalized: whether a regularizer adds what is changed to the loss.
        is_inside: whether layers are patched, which only an ordinary call shows, and not a compiled one.
    """

    change: Change
    batch: Batch
    rows: tuple[int, ...]
    other_rows: tuple[int, ...]
    labels: tuple[str, str]
    changed: Callable[[], AbstractContextManager[Any]] = nullcontext
    groups: tuple[int, ...] = ()
    only: NDArray[np.bool_] | None = field(default=None, repr=False)
    only_group: int = 0
    is_penalized: bool = False
    is_inside: bool = False

    def compare(self, first: Array, second: Array, axes: Axes, base: Batch) -> Distance:
        """Return how much two results differ at valid steps.

        Args:
            first: of the batch as given.
            second: of the changed batch.
            axes: the time axes of both.
            base: the batch as given.

        Raises:
            comparing.ShapeError: they cannot be compared.
        """
        if len(second) != self.batch.samples:
            msg = f"its output has {len(second)} samples for {self.batch.samples}"
            raise ShapeError(msg)
        chosen = variants.select(base, self.rows)
        a, b = first[list(self.rows)], second[list(self.other_rows)]
        if self.change == Change.NO_PADDING:
            a, chosen = crop(a, b.shape, axes, chosen), variants.select(self.batch, self.other_rows)
        else:
            b = crop(b, a.shape, axes, chosen)
        valid = valid_elements(a.shape, axes, chosen)
        if self.only is not None:
            valid = valid & self._only(a.shape, axes)
        return distance(a, b, valid)

    def of_two(self, at: int, base: Batch) -> "Some | None":
        """Return two samples in this situation, which are faster to compute than the whole batch; None if it needs all samples.

        Two and not one, because a tensor without an axis of samples often has a first axis of size 1.

        Args:
            at: index of one of them in `rows`.
            base: the batch as given.
        """
        if self.change == Change.BATCH_MATES or self.is_inside or base.samples <= 2:
            return None
        places = [at, (at + 1) % len(self.rows)]
        rows, both = tuple(self.rows[place] for place in places), tuple(range(len(places)))
        changed = variants.select(self.batch, [self.other_rows[place] for place in places])
        only = None if self.only is None else self.only[list(rows)]
        smaller = replace(self, batch=changed, rows=both, other_rows=both, only=only)
        return Some(rows, variants.select(base, rows), smaller)

    def _only(self, shape: tuple[int, ...], axes: Axes) -> NDArray[np.bool_]:
        """Return the elements of the steps in `only`; none if the result has no such axis."""
        assert self.only is not None
        at = [axis for axis, group in axes.items() if group == self.only_group and shape[axis] == self.only.shape[1]]
        if not at:
            return np.zeros((shape[0], *[1] * (len(shape) - 1)), bool)
        return self.only.reshape(shape[0], *[shape[axis] if axis == at[0] else 1 for axis in range(1, len(shape))])


class Some(NamedTuple):
    """Some samples of a batch, as given and in a situation.

    Attributes:
        rows: their indices in the batch.
        batch: these samples as given.
        situation: these samples in the situation.
    """

    rows: tuple[int, ...]
    batch: Batch
    situation: Situation


def longer_padding(batch: Batch, groups: tuple[int, ...]) -> Situation:
    """Return the batch with longer padding in some groups."""
    steps = variants.extra_steps(batch)
    samples = tuple(range(batch.samples))
    labels = ("as given", f"with {steps} more padded steps")
    return Situation(Change.LONGER_PADDING, variants.longer(batch, groups, steps), samples, samples, labels, groups=groups)


def padded_content(batch: Batch, seed: int) -> Iterator[Situation]:
    """Yield the batch with other numbers at padded steps of floats, if something else says that these steps are padding."""
    names = [leaf.name for leaf in batch.leaves if variants.is_known_otherwise(leaf, batch)]
    if names:
        labels = ("as given", f"with other numbers at the padded steps of {', '.join(names)}")
        samples = tuple(range(batch.samples))
        yield Situation(Change.PADDED_CONTENT, variants.with_garbage(batch, names, seed), samples, samples, labels)


def embedding_rows(model: Any, batch: Batch, records: Sequence[CallRecord], seed: int) -> Iterator[Situation]:
    """Yield the batch with another row of padding, for each Embedding that uses that row only at padded steps."""
    rng = np.random.default_rng([seed, 6])
    samples = tuple(range(batch.samples))
    done: set[int] = set()
    for layer in [call.operation for call in records if is_embedding(call)]:
        row = _row_of_padding(layer, batch, records)
        index = next((i for i, weight in enumerate(model.weights) if any(weight is own for own in layer.weights)), None)
        if row is None or index is None or id(layer) in done:
            continue
        done.add(id(layer))
        matrix = to_array(model.weights[index].value)
        other = matrix.copy()
        other[row] = rng.normal(0.0, 3.0 * (float(matrix.astype(float).std()) or 1.0), matrix.shape[1])
        labels = (f"with row {row} of {layer.name!r} as it is", "with another row")
        context, is_penalized = _other_values(model, index, other), layer.embeddings_regularizer is not None
        yield Situation(Change.EMBEDDING_ROW, batch, samples, samples, labels, context, is_penalized=is_penalized)


def batch_mates(batch: Batch, turned: Situation) -> list[Situation]:
    """Return the situations with other samples in the batch: in reverse order, with every second replaced, and in two parts."""
    if batch.samples < 2:
        return []
    replaced, kept = variants.with_mates(batch)
    found = [turned]
    found.append(Situation(Change.BATCH_MATES, replaced, tuple(kept), tuple(kept), ("as given", "with other samples beside it")))
    half = batch.samples // 2
    for part in (range(half), range(half, batch.samples)):
        labels = (f"in a batch of {batch.samples}", f"in one of {len(part)}")
        found.append(Situation(Change.BATCH_MATES, variants.select(batch, part), tuple(part), tuple(range(len(part))), labels))
    return found


def in_another_order(batch: Batch) -> Situation:
    """Return the batch in reverse order."""
    rows = tuple(range(batch.samples))
    labels = ("as given", "with the batch in another order")
    return Situation(Change.BATCH_MATES, variants.select(batch, rows[::-1]), rows, rows[::-1], labels)


def no_padding(batch: Batch, most: int = 4) -> list[Situation]:
    """Return samples without their padding, at most `most` different lengths."""
    found = []
    for samples in variants.by_length(batch, most):
        cut = variants.without_padding(batch, samples)
        labels = ("as given", "without padding")
        found.append(Situation(Change.NO_PADDING, cut, tuple(samples), tuple(range(len(samples))), labels))
    return found


def later_steps(batch: Batch, group: int, seed: int) -> Iterator[Situation]:
    """Yield the batch with other content at later steps of a group, one leaf after another; only earlier steps are compared."""
    samples = tuple(range(batch.samples))
    for leaf in (leaf for leaf in batch.leaves if variants.has_steps(leaf, group)):
        changed, early = variants.with_other_later_steps(batch, group, seed, leaf.name)
        labels = ("as given", f"with other content at later steps of {leaf.name}")
        yield Situation(Change.LATER_STEPS, changed, samples, samples, labels, only=early, only_group=group)


def _other_values(model: Any, index: int, value: Array) -> Callable[[], AbstractContextManager[Any]]:
    """Return a context within which a weight has another value."""
    return lambda: with_values(model, {index: value})


def _row_of_padding(layer: Any, batch: Batch, records: Sequence[CallRecord]) -> int | None:
    """Return the row that an Embedding looks up only at padded steps; None if there is none."""
    rows: set[int] = set()
    for call in (call for call in records if call.operation is layer):
        leaf = next((leaf for leaf in batch.leaves if leaf.kind == "ids" and leaf.groups and reads(call, leaf.array)), None)
        if leaf is None or leaf.groups is None:
            return None
        is_pad = variants.padding_of(leaf, batch)
        if is_pad is None or not np.array_equal(leaf.array == leaf.pad, is_pad):
            return None
        rows.add(int(leaf.pad))
    return rows.pop() if len(rows) == 1 else None


def has_embedding_of_padding(batch: Batch, records: Sequence[CallRecord]) -> bool:
    """Return whether an Embedding gets padded ids."""
    calls = [call for call in records if is_embedding(call)]
    return any(reads(call, leaf.array) for call in calls for leaf in batch.leaves if leaf.kind == "ids" and leaf.groups)
