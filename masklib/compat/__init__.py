"""What differs between generations of Keras, named in one place; no other package asks for a version.

`masklib.compat.generations` holds the differences, and its names are those of this package. `masklib.compat.attached` reads what
Keras attaches to tensors, by private attributes that nothing else touches, and `masklib.compat.kernels` finds
GPUs and Keras's check of a mask before cuDNN.
"""

from masklib.compat.generations import (
    ELEMENTWISE_MERGING,
    IS_KERAS_3,
    IS_ORIGINAL,
    OBJECTS,
    RUNS_ALIKE,
    VERSION,
    Loss,
    Metric,
    compile_model,
    crossentropy,
    deserialize,
    dtype_name,
    evaluate,
    evaluate_by_steps,
    floatx,
    gradient_descent,
    is_float,
    lacks,
    map_structure,
    model_of,
    ops,
    predict,
    register_serializable,
    serialize,
    set_random_seed,
    static_shape,
    to_numpy,
)
from masklib.compat.kernels import gpus, has_layout_of_cudnn

__all__ = [
    "ELEMENTWISE_MERGING",
    "IS_KERAS_3",
    "IS_ORIGINAL",
    "OBJECTS",
    "RUNS_ALIKE",
    "VERSION",
    "Loss",
    "Metric",
    "compile_model",
    "crossentropy",
    "deserialize",
    "dtype_name",
    "evaluate",
    "evaluate_by_steps",
    "floatx",
    "gpus",
    "gradient_descent",
    "has_layout_of_cudnn",
    "is_float",
    "lacks",
    "map_structure",
    "model_of",
    "ops",
    "predict",
    "register_serializable",
    "serialize",
    "set_random_seed",
    "static_shape",
    "to_numpy",
]
