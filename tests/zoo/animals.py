"""What an animal is, and the list of all of them."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tests.zoo.feeding import Feed, Serving, serve

KINDS = ("output", "batch", "future", "loss", "metric", "batches", "gradient", "statistics")
EXACT = 2e-5  # float32 sums of a few hundred numbers, added in another order


@dataclass(frozen=True)
class Animal:
    """A model and what is known of it.

    Attributes:
        name: its slug.
        problem: the number of the problem it shows, such as "P01"; "" where it has none there.
        family: such as "tagger", "seq2seq", "classifier", "hierarchical", "transformer", "convolution", "no sequence".
        realistic: whether somebody would write it like this; otherwise it shows one thing only.
        make: returns the model; its weights are set by `build`.
        feeds: what its inputs hold, structured as they are.
        target_feeds: what its targets hold; None where it is not compiled.
        outputs: for each output, in flat order, the feed whose steps its second axis has; None: it has no steps.
        faults: what is wrong with it, of `KINDS`; the tests measure it.
        given: whether the audit is given inputs and targets; otherwise it must make them.
        causal: whether it is meant not to look ahead.
        fixed_length: whether its number of steps cannot be changed.
        fixed_batch: whether its number of samples cannot be changed.
        pad_id: the row of the embeddings that stands for padding.
        tolerance: what its number format loses, relative.
        options: what the audit must be told, arguments of `masklib.audit`.
        weighted: whether it is evaluated and trained with sample weights of 0 at padded steps.
        why: one sentence.
    """

    name: str
    problem: str
    family: str
    realistic: bool
    make: Callable[[], Any]
    feeds: Any
    target_feeds: Any = None
    outputs: tuple[Feed | None, ...] = (None,)
    faults: frozenset[str] = frozenset()
    given: bool = True
    causal: bool = False
    fixed_length: bool = False
    fixed_batch: bool = False
    pad_id: int = 0
    tolerance: float = EXACT
    options: Mapping[str, Any] = field(default_factory=dict)
    weighted: bool = False
    why: str = ""

    def build(self, seed: int = 0) -> Any:
        """Return the model, for a seed always the same one, its weights as if it had been trained."""
        model = self.make()
        settle(model, f"{self.name} {seed}" if seed else self.name)
        return model

    @property
    def inputs(self) -> Callable[[], Any] | None:
        """Make the inputs for the audit; None: it is to make them itself."""
        return (lambda: serve(self.feeds, Serving(), "x")) if self.given else None

    @property
    def targets(self) -> Callable[[], Any] | None:
        """Make the targets for the audit; None: there are none, or it is to make them itself."""
        if not self.given or self.target_feeds is None:
            return None
        return lambda: serve(self.target_feeds, Serving(), "y")

    def weights(self, serving: Serving) -> Any:
        """Return the sample weights (B, T), 0 at padded steps; None: there are none."""
        if not self.weighted:
            return None
        told: Feed = self.target_feeds
        return serve(Feed("mask", told.sequence, side=told.side), serving).astype("float32")


_ANIMALS: dict[str, Animal] = {}


def animal(family: str, feeds: Any, *, faults: str = "", problem: str = "", realistic: bool = False, **facts: Any) -> Any:
    """Register the decorated function, which makes a model, as an animal; its docstring says why it is as it is."""

    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        name = make.__name__.replace("_", "-")
        if name in _ANIMALS or set(faults.split()) - set(KINDS):
            msg = f"An animal needs a name of its own and faults of {KINDS}, got {name!r} with {faults!r}."
            raise ValueError(msg)
        why = (make.__doc__ or "").split("\n")[0]
        known = Animal(name, problem, family, realistic, make, feeds, faults=frozenset(faults.split()), why=why, **facts)
        _ANIMALS[name] = known
        return make

    return register


def all_animals() -> tuple[Animal, ...]:
    """Return every animal, in the order of the modules."""
    from tests.zoo import houses

    assert houses.OPEN, "no house of animals was imported"
    return tuple(_ANIMALS.values())


def herd() -> tuple[Animal, ...]:
    """Return the animals that say most: for each problem the first with its faults, a realistic one where there is one."""
    ordered = sorted(all_animals(), key=lambda one: not one.realistic)
    first = {(one.problem, one.faults): one for one in reversed(ordered)}
    return tuple(first.values())


def settle(model: Any, name: str) -> None:
    """Give a model weights as if it had been trained: no bias is 0, no row of an embedding, no statistic is at its start."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for variable in model.weights:
        if "float" in str(keras.backend.standardize_dtype(variable.dtype)):
            variable.assign(_trained(variable, rng))
    for layer in layers_of(model):
        if getattr(layer, "stateful", False):
            layer.reset_state()


def _trained(variable: Any, rng: np.random.Generator) -> Any:
    """Return values for a variable."""
    shape, kind = tuple(variable.shape), variable.path.rsplit("/", 1)[-1]
    if kind in ("moving_variance", "variance"):
        return rng.uniform(0.5, 1.5, shape)
    if kind in ("gamma", "scale"):
        return rng.uniform(0.8, 1.6, shape)
    if kind == "count":
        return np.ones(shape)
    if "kernel" in kind or "position" in kind:
        fan_in = max(1, int(np.prod(shape[:-1])))
        return rng.normal(0.0, 1.2 / np.sqrt(fan_in), shape)
    return rng.normal(0.0, 0.6, shape)


def layers_of(model: Any) -> Iterator[Any]:
    """Yield every layer of a model, nested ones included."""
    yield from model._flatten_layers(include_self=False, recursive=True)
