"""How to build each layer that `keras.layers` exports: the one table behind the atlas of layers, notebook 12.

A layer without cases has its reason in `unmeasured`. A test holds the two complete for the installed Keras.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from keras import layers

FEATURES = 6  # F of x (B, T, F), unlike T
CLASSES = 6  # of the ids that layers of ids get


@dataclass(frozen=True)
class Case:
    """A layer with settings, to be called with one sequence.

    Attributes:
        family: of layers, such as "pooling".
        layer: its name in `keras.layers`.
        setting: the arguments that are not those of the plain case; "" for the plain case.
        make: returns a new layer, or raises what its constructor raises.
        call: calls the layer with x, which carries its mask; x alone for most.
        step: shape of one step of x, such as (F,); () for ids.
        carries: whether x carries a mask.
        inside: the layer inside which it is tried, such as "RNN" for a cell; "" for itself.
    """

    family: str
    layer: str
    setting: str
    make: Callable[[], Any]
    call: Callable[[Any, Any], Any] = lambda layer, x: layer(x)
    step: tuple[int, ...] = (FEATURES,)
    carries: bool = True
    inside: str = ""

    @property
    def group(self) -> str:
        """The family, where it is one of those in which masks matter most; else "other"."""
        return self.family if self.family in _MATTER else "other"


@dataclass(frozen=True)
class _Row:
    """Arguments of a layer, and settings that change what becomes of a mask, each with the arguments that it adds."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[Mapping[str, Any], ...] = ()
    call: Callable[[Any, Any], Any] = lambda layer, x: layer(x)
    step: tuple[int, ...] = (FEATURES,)
    carries: bool = True
    inside: str = ""


@cache
def exported() -> dict[str, type]:
    """Return every layer class that `keras.layers` exports, by its own name: aliases are one class."""
    found = [one for name in dir(layers) if inspect.isclass(one := getattr(layers, name)) and issubclass(one, layers.Layer)]
    return {one.__name__: one for one in sorted(set(found), key=lambda one: one.__name__)}


def cases() -> list[Case]:
    """Return every case of the layers that this Keras exports, a layer's plain case first."""
    known = {name: (family, row) for family, rows in _ROWS.items() for name, row in rows.items()}
    return [case for name in exported() if name in known for case in _cases(name, *known[name])]


def _cases(name: str, family: str, row: _Row) -> list[Case]:
    """Return the cases of one layer."""
    plain = Case(
        family, name, "", partial(_make, name, row.arguments), row.call, row.step, row.carries and row.step != (), row.inside
    )
    return [plain, *(_with(plain, row, setting) for setting in row.settings)]


def _with(plain: Case, row: _Row, setting: Mapping[str, Any]) -> Case:
    """Return a case with more arguments."""
    told = ", ".join(f"{key}={value!r}" for key, value in setting.items())
    return replace(plain, setting=told, make=partial(_make, plain.layer, {**row.arguments, **setting}))


def _make(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return a new layer, with new ones of what it wraps."""
    made = {key: value() if isinstance(value, _Fresh) else value for key, value in arguments.items()}
    return exported()[name](**made)


@dataclass(frozen=True)
class _Fresh:
    """Makes what a layer wraps, anew for each layer."""

    make: Callable[[], Any]

    def __call__(self) -> Any:
        return self.make()

    def __repr__(self) -> str:
        return type(self()).__name__


def _itself(layer: Any, x: Any) -> Any:
    """Call a layer with x as query and value."""
    return layer(x, x)


def _query_value(layer: Any, x: Any) -> Any:
    """Call a layer with a list of x as query and value."""
    return layer([x, x])


def _in_rnn(cell: Any, x: Any) -> Any:
    """Call an RNN that has this cell."""
    return layers.RNN(cell, return_sequences=True)(x)


def _picture(**arguments: Any) -> _Row:
    """Return the row of a layer that takes pictures."""
    return _Row(arguments)


_SEQUENCES, _BACKWARDS, _ZEROS = {"return_sequences": True}, {"go_backwards": True}, {"zero_output_for_mask": True}
_RECURRENT = _Row(
    {"units": 3},
    (_SEQUENCES, {**_SEQUENCES, **_ZEROS}, {**_SEQUENCES, **_BACKWARDS}, {**_SEQUENCES, "unroll": True}),
)
_LSTM = _Fresh(lambda: layers.LSTM(3, return_sequences=True))
_LAST = _Fresh(lambda: layers.LSTM(3))
_DENSE = _Fresh(lambda: layers.Dense(3))
_CELL = _Row({"units": 3}, (), _in_rnn, inside="RNN")
_CONV = _Row({"filters": 3, "kernel_size": 2, "padding": "same"}, ({"padding": "causal"}, {"padding": "valid"}))
_CONV_1 = _Row({"filters": 3, "kernel_size": 2, "padding": "same"}, ({"padding": "valid"},))
_CONV_N = _Row({"filters": 3, "kernel_size": 1})
_PLAIN, _RATE = _Row(), _Row({"rate": 0.5})
_EMBEDDING = _Row({"input_dim": CLASSES, "output_dim": 3}, ({"mask_zero": True},), step=())

_ROWS: dict[str, dict[str, _Row]] = {  # by family
    "recurrent": {
        **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _RECURRENT),
        "RNN": _Row({"cell": _Fresh(lambda: layers.LSTMCell(3))}, (_SEQUENCES, {**_SEQUENCES, **_ZEROS})),
        **dict.fromkeys(("LSTMCell", "GRUCell", "SimpleRNNCell"), _CELL),
        "StackedRNNCells": _Row({"cells": _Fresh(lambda: [layers.LSTMCell(3), layers.LSTMCell(3)])}, (), _in_rnn, inside="RNN"),
        "Bidirectional": _Row({"layer": _LSTM}, ({"layer": _LAST}, {"merge_mode": "sum"}, {"merge_mode": None})),
        "TimeDistributed": _Row({"layer": _DENSE}, ({"layer": _Fresh(lambda: layers.Softmax())},)),
        **{f"ConvLSTM{n}D": _Row({"filters": 2, "kernel_size": 2}, (_SEQUENCES,), step=(*[3] * n, 2)) for n in (1, 2, 3)},
    },
    "attention": {
        **dict.fromkeys(("Attention", "AdditiveAttention"), _Row(call=_query_value)),
        "MultiHeadAttention": _Row({"num_heads": 2, "key_dim": 2}, call=_itself),
        "GroupedQueryAttention": _Row({"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}, call=_itself),
    },
    "convolution": {
        "Conv1D": _CONV,
        **dict.fromkeys(("Conv1DTranspose", "SeparableConv1D"), _CONV_1),
        "DepthwiseConv1D": _Row({"kernel_size": 2, "padding": "same"}, ({"padding": "valid"},)),
        **dict.fromkeys(("Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv2D"), _CONV_N),
        "DepthwiseConv2D": _Row({"kernel_size": 1}),
    },
    "pooling": {
        **{f"{what}Pooling{n}D": _Row({"pool_size": 2}) for what in ("Average", "Max") for n in (1, 2, 3)},
        **{f"Adaptive{what}Pooling{n}D": _Row({"output_size": 2}) for what in ("Average", "Max") for n in (1, 2, 3)},
        **{f"Global{what}Pooling{n}D": _PLAIN for what in ("Average", "Max") for n in (2, 3)},
        **{f"Global{what}Pooling1D": _Row({}, ({"data_format": "channels_first"},)) for what in ("Average", "Max")},
    },
    "normalization": {
        **dict.fromkeys(("BatchNormalization", "RMSNormalization", "UnitNormalization"), _PLAIN),
        "LayerNormalization": _Row({}, ({"axis": 1},)),
        "GroupNormalization": _Row({"groups": 2}),
        "Normalization": _Row({"mean": 0.0, "variance": 1.0}),
        "SpectralNormalization": _Row({"layer": _DENSE}),
    },
    "ids": {
        **dict.fromkeys(("Embedding", "ReversibleEmbedding"), _EMBEDDING),
        "Masking": _Row({}, carries=False),
        "CategoryEncoding": _Row({"num_tokens": CLASSES}, (), step=()),
        "Hashing": _Row({"num_bins": 3}, (), step=()),
        "IntegerLookup": _Row({"vocabulary": [1, 2, 3]}, (), step=()),
        **dict.fromkeys(("StringLookup", "TextVectorization"), _Row({"vocabulary": ["a", "b"]})),
        "Discretization": _Row({"bin_boundaries": [0.0]}),
    },
    "shape": {
        **{f"{what}{n}D": _PLAIN for what in ("Cropping", "UpSampling", "ZeroPadding") for n in (1, 2, 3)},
        "Flatten": _PLAIN,
        "Reshape": _Row({"target_shape": (-1, 2)}),
        "Permute": _Row({"dims": (2, 1)}),
        "RepeatVector": _Row({"n": 2}),
    },
    "elementwise": {
        "Activation": _Row({"activation": "relu"}, ({"activation": "softmax"},)),
        **dict.fromkeys(("ReLU", "LeakyReLU", "ELU", "PReLU", "Identity", "ActivityRegularization"), _PLAIN),
        "Softmax": _Row({}, ({"axis": 1},)),
        **dict.fromkeys(("AlphaDropout", "Dropout", "GaussianDropout"), _RATE),
        **{f"SpatialDropout{n}D": _RATE for n in (1, 2, 3)},
        "GaussianNoise": _Row({"stddev": 0.1}),
        "Dense": _Row({"units": 3}),
        "EinsumDense": _Row({"equation": "btf,fu->btu", "output_shape": (None, 3)}),
        "Lambda": _Row({"function": lambda x: x * 2.0}),
        "Rescaling": _Row({"scale": 2.0}),
        "Pipeline": _Row({"layers": _Fresh(lambda: [layers.Dense(3)])}),
    },
    "signals": {
        "MelSpectrogram": _Row({"fft_length": 4, "sequence_stride": 2, "num_mel_bins": 2, "sampling_rate": 100}),
        "STFTSpectrogram": _Row({"frame_length": 2, "frame_step": 1, "fft_length": 4}),
    },
    "pictures": {
        **dict.fromkeys(("CenterCrop", "Resizing", "RandomCrop"), _picture(height=2, width=2)),
        **dict.fromkeys(("RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomHue"), _picture(factor=0.1)),
        **dict.fromkeys(("RandomRotation", "RandomSaturation", "RandomSharpness"), _picture(factor=0.1)),
        "RandomPosterization": _picture(factor=4),
        "RandomTranslation": _picture(height_factor=0.1, width_factor=0.1),
        "RandomZoom": _picture(height_factor=0.1),
        "MaxNumBoundingBoxes": _picture(max_number=2),
        **dict.fromkeys(("AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization"), _picture()),
        **dict.fromkeys(("CutMix", "Equalization", "MixUp", "RandAugment", "RandomColorJitter"), _picture()),
        **dict.fromkeys(("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"), _picture()),
        **dict.fromkeys(("RandomGrayscale", "RandomInvert", "RandomPerspective", "RandomShear", "Solarization"), _picture()),
    },
}
_UNMEASURED = {
    "Layer": "the base class: it computes nothing itself",
    "Wrapper": "the base class of wrappers: it computes nothing itself",
    "InputLayer": "the input of a model: it is called with nothing",
    "HashedCrossing": "crosses two features; it takes no sequence",
    "FlaxLayer": "wraps a module of Flax, which is another library",
    "JaxLayer": "wraps a function of JAX, which decides what becomes of the mask",
    "TorchModuleWrapper": "wraps a module of PyTorch, which decides what becomes of the mask",
    "TFSMLayer": "wraps a SavedModel of TensorFlow, which decides what becomes of the mask",
}
_MATTER = ("recurrent", "attention", "convolution", "pooling", "normalization")
_MERGING = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")


def merging() -> list[str]:
    """Return the layers of this Keras that take several sequences."""
    return [name for name in _MERGING if name in exported()]


def unmeasured() -> dict[str, str]:
    """Return why a layer of this Keras has no row: those that are meant, and those that this table does not know yet."""
    known = {name for rows in _ROWS.values() for name in rows} | set(_MERGING)
    return {name: _UNMEASURED.get(name, "not in the table of layers yet") for name in exported() if name not in known}
