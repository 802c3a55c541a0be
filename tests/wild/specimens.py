"""What a specimen is: a model that others thought of, a batch for it, and where the padding of the batch is."""

import importlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Padded:
    """Where the padding of one array is.

    Attributes:
        value: what padded steps hold.
        axes: for each axis that can be padded the name of the sequence whose lengths count.
        side: "post" or "pre".
    """

    value: Any = 0
    axes: Mapping[int, str] = field(default_factory=lambda: {1: "steps"})
    side: str = "post"


class Batch(NamedTuple):
    """A padded batch, as `fit` takes it."""

    x: Any
    y: Any = None
    weights: Any = None


@dataclass(frozen=True)
class Specimen:
    """A model and what brute force needs to know of it.

    Attributes:
        name: its slug.
        family: such as "text classification".
        source: the package that it is imported from, or the address of the example that it follows.
        make: returns the model, compiled where it is trained.
        feed: returns the padded batch.
        lengths: for each sequence by name, how many steps of each sample are valid.
        x: a `Padded` for each input, structured like `Batch.x`; None for an input without padding.
        y: likewise for the targets.
        weights: likewise for the sample weights.
        outputs: for each output in flat order; of its attributes only `axes` and `side` count.
        multiple: numbers of steps that the model takes are multiples of this.
        least: the model needs this many steps.
        fixed: whether the number of steps cannot be changed: truth is what another content of the pad row changes.
        package: the module that must be there; "" where Keras is enough.
        backends: on which the model can run.
        options: what the audit must be told.
        give: turns the inputs into what the model takes, where arrays are not it.
    """

    name: str
    family: str
    source: str
    make: Callable[[], Any]
    feed: Callable[[], Batch]
    lengths: Mapping[str, tuple[int, ...]]
    x: Any
    y: Any = None
    weights: Any = None
    outputs: tuple[Padded | None, ...] = (None,)
    multiple: int = 1
    least: int = 1
    fixed: bool = False
    package: str = ""
    backends: tuple[str, ...] = ("tensorflow", "jax", "torch")
    options: Mapping[str, Any] = field(default_factory=dict)
    give: Callable[[Any], Any] = lambda x: x

    def build(self) -> Any:
        """Return the model, always the same one, its weights as if it had been trained a little."""
        keras.utils.set_random_seed(zlib.crc32(self.name.encode()) % 2**31)
        model = self.make()
        model.predict(self.give(self.feed().x), verbose=0)
        train_a_little(model, self.name)
        return model

    @property
    def n_samples(self) -> int:
        """How many samples the batch has."""
        return len(next(iter(self.lengths.values())))

    def missing(self) -> str:
        """Return why the model cannot be built here; "" if it can."""
        if keras.backend.backend() not in self.backends:
            return f"runs on {', '.join(self.backends)} only"
        try:
            importlib.import_module(self.package or "keras")
        except Exception as error:  # a package may fail in any manner while it is imported
            return f"{self.package} cannot be imported: {type(error).__name__}: {error}"[:160]
        return ""


_SPECIMENS: dict[str, Specimen] = {}


def specimen(family: str, source: str, **facts: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register the decorated function, which makes a model, as a specimen."""

    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        name = make.__name__.replace("_", "-")
        if name in _SPECIMENS:
            msg = f"A specimen needs a name of its own, and {name!r} is there already."
            raise ValueError(msg)
        _SPECIMENS[name] = Specimen(name, family, source, make, **facts)
        return make

    return register


def all_specimens() -> tuple[Specimen, ...]:
    """Return every specimen, in the order of the modules."""
    from tests.wild import collections

    assert collections.OPEN, "no collection was imported"
    return tuple(_SPECIMENS.values())


def train_a_little(model: Any, name: str) -> None:
    """Move every weight a little, so that no bias is 0 and no two units are alike."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for variable in model.trainable_variables:
        if "float" in str(keras.backend.standardize_dtype(variable.dtype)):
            value = np.array(keras.ops.convert_to_numpy(variable.value))
            variable.assign(value + rng.normal(0.0, 0.1, value.shape))
