"""What differs between the generations of Keras, named in one place; no other module asks for a version.

*Keras 3*, with three backends. *Keras 2* from 2.4 to 2.15, which is TensorFlow's: no `keras.ops`, losses and metrics with other
arguments. *The original Keras* up to 2.3, for which the other documents were written: graphs and sessions, and losses are
functions.

`lacks` says what a generation lacks, in words that `recording.Run.untested` takes: a claim about it neither holds nor is
refuted there.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from packaging.version import Version

from masklib.errors import ArgumentError

VERSION = Version(keras.__version__).release[:2]
IS_KERAS_3 = VERSION >= (3, 0)
IS_ORIGINAL = VERSION < (2, 4)

ELEMENTWISE_MERGING = ("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract")  # layers of every generation

ops: Any
if VERSION >= (3, 2):
    ops = keras.ops
elif IS_KERAS_3:
    from masklib.compat.early_ops import ops
else:
    from masklib.compat.tensorflow_ops import ops

# feature: what keras before 2.4 says instead; every newer one has it
_SINCE_2_4 = {
    "zero_output_for_mask": "its recurrent layers have no option zero_output_for_mask",
    "operators on tensors": "an operator on its tensors is no layer, so no model can hold it",
    "mask dropped by a layer": "it refuses to build a layer without support for masks after a mask",
    "the guide": "the Keras guide is of newer ones, whose layers may hold layers and which pads with keras.utils.pad_sequences",
    "loss objects": "its losses are functions, and divide by what Keras chooses",
    "metric objects": "its metrics are functions of one batch, without Precision and Recall",
    "one weight a sample, (B, 1)": "it takes one weight a sample as (B,) only, and refuses (B, 1)",
}


# feature: what keras from 2.4 on says instead
_UNTIL_2_4 = {
    "decay of Adam": "the model of the Concatenate experiments needs arguments (lr, decay, input_length, K.tf) that it has not",
}


def _runs_alike() -> bool:
    """Return whether a model that runs eagerly computes what it computes if it is compiled.

    The original Keras has no choice. On JAX, a compiled loss of Keras 3.0 to 3.5 gets no mask: 40.3 in place of 11.4 in the
    example of the mask_zero answer. Keras 3.6 reports the same both ways.
    """
    return not IS_ORIGINAL and not (keras.backend.backend() == "jax" and VERSION < (3, 6))


RUNS_ALIKE = _runs_alike()


def lacks(feature: str) -> str:
    """Return why the installed Keras cannot show `feature`, as a sentence; "" if it can.

    Raises:
        ArgumentError: it is not known which Keras has this feature.
    """
    missing = {**_SINCE_2_4, **_UNTIL_2_4}
    if feature not in missing:
        msg = f"A feature must be one of {', '.join(map(repr, missing))}, got {feature!r}."
        raise ArgumentError(msg + " Choose one, or add it to masklib.compat.")
    return f"Keras {keras.__version__}: {missing[feature]}." if (feature in _SINCE_2_4) == IS_ORIGINAL else ""


def static_shape(tensor: Any) -> tuple[int | None, ...]:
    """Return the sizes of a tensor or array that a graph knows, None for each that it does not."""
    return tuple(getattr(size, "value", size) for size in tensor.shape)


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return `structure`, of nested dicts, lists and tuples, with `function` applied to what they hold."""
    if isinstance(structure, Mapping):
        return {name: map_structure(function, one) for name, one in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_structure(function, one) for one in structure)
    return function(structure)


def to_numpy(tensor: Any) -> Any:
    """Return a tensor of any backend, or of a graph that needs no input, as an array; None stays None."""
    if tensor is None or isinstance(tensor, np.ndarray):
        return tensor
    return keras.backend.eval(tensor) if IS_ORIGINAL else ops.convert_to_numpy(tensor)


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy and the backend."""
    if not IS_ORIGINAL:
        keras.utils.set_random_seed(seed)
        return
    import tensorflow as tf

    random.seed(seed)
    np.random.seed(seed)
    tf.compat.v1.set_random_seed(seed)


def register_serializable(target: Any) -> Any:
    """Register a class of masklib with Keras, where Keras has a register; a decorator."""
    register = getattr(keras.utils, "register_keras_serializable", None)
    return register(package="masklib")(target) if register else target


def serialize(thing: Any) -> Any:
    """Return a function of Keras as what a configuration holds."""
    return (keras.saving if hasattr(keras.saving, "serialize_keras_object") else keras.utils).serialize_keras_object(thing)


def deserialize(config: Any) -> Any:
    """Return the function of Keras that a configuration holds."""
    if hasattr(keras.saving, "deserialize_keras_object"):
        return keras.saving.deserialize_keras_object(config)
    return keras.metrics.get(config) if config in dir(keras.metrics) else keras.losses.get(config)


def floatx(dtype: Any) -> str:
    """Return the name of a dtype; None is Keras's own."""
    if dtype is None:
        return str(keras.backend.floatx())
    return dtype_name(dtype)


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of any backend, such as "float32"."""
    if IS_KERAS_3:
        return str(keras.backend.standardize_dtype(dtype))
    return str(getattr(dtype, "name", dtype)).replace("_ref", "")


def is_float(dtype_name: str) -> bool:
    """Return whether a dtype is floating."""
    return "float" in dtype_name


def model_of(inputs: Any, outputs: Mapping[str, Any]) -> Any:
    """Return a functional model with named outputs; the layers that make them have the same names."""
    if not IS_ORIGINAL:
        return keras.Model(inputs, dict(outputs))
    model = keras.Model(inputs, list(outputs.values()))
    model.masklib_names = list(outputs)
    return model


def predict(model: Any, x: Any) -> Any:
    """Return the outputs of a model for the whole of `x` as one batch, tensors or arrays, structured as the outputs are."""
    if not IS_ORIGINAL:
        return model(x, training=False)  # a call, since `predict` compiles each model again
    outputs = model.predict_on_batch(x)
    names = getattr(model, "masklib_names", None)
    return dict(zip(names, outputs, strict=True)) if names else outputs


def compile_model(model: Any, loss: Any, optimizer: Any = "sgd", *, temporal_weights: bool = False, **options: Any) -> None:
    """Compile a model.

    Args:
        model: any.
        loss: as `compile` takes it.
        optimizer: as `compile` takes it.
        temporal_weights: whether its sample weights will be one a step, which the original Keras must know now.
        **options: of `compile`; `run_eagerly` where it makes no difference but in time: see `RUNS_ALIKE`.
    """
    if not RUNS_ALIKE:
        options.pop("run_eagerly", None)
    if IS_ORIGINAL:
        options["sample_weight_mode"] = "temporal" if temporal_weights else None
    model.compile(loss=loss, optimizer=optimizer, **options)


def evaluate(model: Any, x: Any, y: Any, **options: Any) -> dict[str, float]:
    """Return what `evaluate` of a compiled model reports, by name; options are those of `evaluate`."""
    if not IS_ORIGINAL:
        with kept_variables(model):
            return dict(model.evaluate(x, y, verbose=0, return_dict=True, **options))
    reported = np.ravel(model.evaluate(x, y, verbose=0, **options))
    return dict(zip(model.metrics_names, reported.tolist(), strict=True))


@contextlib.contextmanager
def kept_variables(model: Any) -> Iterator[None]:
    """Put the values of a model's variables back if they are lost.

    On JAX, `evaluate` takes them out of the model; up to Keras 3.4 it does not put them back where it raises an error.
    """
    values = [(one, np.array(one)) for one in model.variables] if keras.backend.backend() == "jax" else []
    try:
        yield
    finally:
        for variable, value in values:
            if variable._value is None:
                variable._value = keras.ops.convert_to_tensor(value)


def evaluate_by_steps(model: Any, x: Any, y: Any, sample_weight: Any, batch_size: int) -> dict[str, float]:
    """Return what `evaluate` reports of a model that is compiled to run eagerly, by name.

    On TensorFlow the steps of `evaluate` are taken one after the other, without its pipeline of data: to set that up takes ten
    times as long as the steps of a few small batches. Elsewhere this is `evaluate`.
    """
    if IS_ORIGINAL or keras.backend.backend() != "tensorflow":
        return evaluate(model, x, y, batch_size=batch_size, sample_weight=sample_weight)
    tensors = [None if array is None else ops.convert_to_tensor(array) for array in (x, y, sample_weight)]
    model.reset_metrics()
    reported: dict[str, float] = {}
    for start in range(0, len(y), batch_size):
        batch = (None if tensor is None else tensor[start : start + batch_size] for tensor in tensors)
        reported = model.test_step(tuple(batch))
    return reported


def crossentropy(name: str) -> Callable[..., Any]:
    """Return the function of `keras.losses` of this name, (B, T, C) twice -> (B, T), that takes `from_logits` everywhere."""
    if not IS_ORIGINAL:
        return getattr(keras.losses, name)  # type: ignore[no-any-return]
    function = getattr(keras.backend, name)

    def of_steps(y_true: Any, y_pred: Any, from_logits: bool = False) -> Any:
        found = function(y_true, y_pred, from_logits=from_logits)
        return ops.mean(found, axis=-1) if name == "binary_crossentropy" else found

    return of_steps


def gradient_descent(rate: float) -> Any:
    """Return the optimizer of plain gradient descent."""
    return keras.optimizers.SGD(lr=rate) if IS_ORIGINAL else keras.optimizers.SGD(learning_rate=rate)


Loss: Any
if IS_KERAS_3:
    Loss = keras.losses.Loss
else:

    class Loss(getattr(keras.losses, "Loss", object)):  # type: ignore[no-redef,misc] # the same name in every generation
        """`keras.losses.Loss` with the arguments and attributes of Keras 3."""

        def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None):
            if hasattr(keras.losses, "Loss"):
                super().__init__(name=name)
            self.name = name
            self.reduction = reduction
            self.dtype = floatx(dtype)

        def get_config(self) -> dict[str, Any]:
            """Return what `from_config` needs to build the same loss."""
            return {"name": self.name, "reduction": self.reduction}

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            """Return the loss that `get_config` describes."""
            return cls(**config)


class _NoMetric:
    """Stands where the original Keras has no class of metrics."""

    def __init__(self, **kwargs: Any):
        raise ArgumentError(lacks("metric objects"))


Metric: Any = getattr(keras.metrics, "Metric", _NoMetric)
OBJECTS = (getattr(keras.losses, "Loss", Loss), Metric)  # of Keras, that are not functions
