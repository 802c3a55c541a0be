"""Layers and models of smaller packages that build on Keras 3."""

import importlib
from typing import Any

import keras
import numpy as np
from keras import layers

from tests.wild import parts
from tests.wild.parts import LENGTHS, STEPS, compiled, ids, labels, numbers, series
from tests.wild.specimens import Batch, Padded, specimen

SPARSE = "sparse_categorical_crossentropy"
TF = ("tensorflow",)

TEXTS: dict[str, Any] = {"feed": lambda: Batch(ids(), labels()), "lengths": {"steps": LENGTHS}, "x": STEPS}
TAGS: dict[str, Any] = {
    "feed": lambda: Batch(ids(), ids("tags", low=1, high=5)),
    "lengths": {"steps": LENGTHS},
    "x": STEPS,
    "y": STEPS,
    "outputs": (STEPS,),
}
SIGNALS: dict[str, Any] = {"feed": lambda: Batch(series(), numbers()), "lengths": {"steps": LENGTHS}, "x": STEPS}
SETS: dict[str, Any] = {"feed": lambda: Batch(series(), numbers(size=3)), "lengths": {"steps": LENGTHS}, "x": STEPS}


def of(name: str) -> Any:
    """Return a module of a package that is not a dependency of this project."""
    return importlib.import_module(name)


def masked_words() -> tuple[Any, Any]:
    """Return an input of ids, and masked words."""
    tokens = keras.Input((None,), dtype="int32")
    return tokens, layers.Embedding(20, 8, mask_zero=True)(tokens)


def classified(tokens: Any, x: Any) -> Any:
    """Return a compiled classifier of texts."""
    return compiled(keras.Model(tokens, layers.Dense(3, activation="softmax")(x)), SPARSE, ["accuracy"])


def tagged(tokens: Any, x: Any) -> Any:
    """Return a compiled tagger."""
    return compiled(keras.Model(tokens, layers.Dense(5, activation="softmax")(x)), SPARSE)


@specimen("text classification", "keras-tcn", **TEXTS, package="tcn", backends=TF)
def tcn_classifier() -> Any:
    """The last step of causal convolutions, as in the README of the package."""
    tokens, x = masked_words()
    return classified(tokens, of("tcn").TCN(6, kernel_size=2, dilations=(1, 2))(x))


@specimen(
    "time series",
    "keras-tcn",
    **{
        **SIGNALS,
        "feed": lambda: Batch(series(), series("next", 1)),
        "y": STEPS,
        "outputs": (STEPS,),
    },
    package="tcn",
    backends=TF,
)
def tcn_each_step() -> Any:
    """Causal convolutions with a value at each step, batch statistics within."""
    signal = keras.Input((None, 4))
    x = of("tcn").TCN(6, kernel_size=2, dilations=(1, 2), return_sequences=True, use_batch_norm=True)(signal)
    return compiled(keras.Model(signal, layers.Dense(1)(x)), "mse", ["mae"])


@specimen("tagging", "keras-self-attention", **TAGS, package="keras_self_attention", backends=TF)
def self_attention_tagger() -> Any:
    """LSTM and additive attention, as in the README of the package."""
    tokens, x = masked_words()
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    return tagged(tokens, of("keras_self_attention").SeqSelfAttention(attention_activation="sigmoid")(x))


@specimen("tagging", "keras-self-attention", **TAGS, package="keras_self_attention", backends=TF)
def self_attention_multiplicative() -> Any:
    """The same, the scores by multiplication, within a window."""
    tokens, x = masked_words()
    attention = of("keras_self_attention").SeqSelfAttention(attention_width=3, attention_type="multiplicative")
    return tagged(tokens, attention(layers.LSTM(4, return_sequences=True)(x)))


@specimen("text classification", "keras-self-attention", **TEXTS, package="keras_self_attention", backends=TF)
def weighted_attention_classifier() -> Any:
    """A weighted mean of steps."""
    tokens, x = masked_words()
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    return classified(tokens, of("keras_self_attention").SeqWeightedAttention()(x))


@specimen("text classification", "keras-transformer", **TEXTS, package="keras_transformer", backends=TF)
def keras_transformer_encoder() -> Any:
    """An encoder of the package on masked words."""
    tokens, x = masked_words()
    x = of("keras_transformer").get_encoders(1, x, head_num=2, hidden_dim=16, dropout_rate=0.1)
    return classified(tokens, layers.GlobalAveragePooling1D()(x))


@specimen("text classification", "mingru-keras", **TEXTS, package="mingru_keras", backends=("jax",))
def mingru_classifier() -> Any:
    """A recurrent layer by scanning; it knows no mask."""
    tokens, x = masked_words()
    return classified(tokens, layers.GlobalAveragePooling1D()(of("mingru_keras").MinGRU(6)(x)))


@specimen("tagging", "mingru-keras", **TAGS, package="mingru_keras", backends=("jax",))
def mingru_tagger() -> Any:
    """The same at each step: padding after the sequence changes nothing."""
    tokens, x = masked_words()
    return tagged(tokens, of("mingru_keras").MinGRU(6)(x))


@specimen("time series", "keras-lmu", **SIGNALS, package="keras_lmu")
def lmu_regression() -> Any:
    """A Legendre memory over a masked series."""
    signal = keras.Input((None, 4))
    cell = {"memory_d": 1, "order": 4, "theta": 8, "hidden_cell": layers.SimpleRNNCell(6)}
    return compiled(keras.Model(signal, layers.Dense(1)(of("keras_lmu").LMU(**cell)(layers.Masking()(signal)))), "mse", ["mae"])


@specimen("time series", "keras-lmu", **SIGNALS, package="keras_lmu", fixed=True)
def lmu_by_fft() -> Any:
    """The same memory by Fourier transforms over the whole series."""
    signal = keras.Input((parts.TOTAL, 4))
    layer = of("keras_lmu").LMUFeedforward(memory_d=1, order=4, theta=8, hidden_cell=layers.Dense(6))
    return compiled(keras.Model(signal, layers.Dense(1)(layer(signal))), "mse")


@specimen("time series", "lite-mamba", **SIGNALS, package="lite_mamba", backends=TF)
def mamba_mean() -> Any:
    """A selective state space, and the mean over masked steps."""
    signal = keras.Input((None, 4))
    x = of("lite_mamba").TFBaselineMamba(8)(layers.Dense(8)(layers.Masking()(signal)))
    return compiled(keras.Model(signal, layers.Dense(1)(layers.GlobalAveragePooling1D()(x))), "mse")


@specimen("set", "bayesflow", **SETS, package="bayesflow")
def bayesflow_deep_set() -> Any:
    """A summary of a set; padding counts as members of it."""
    net = of("bayesflow").networks.DeepSet(summary_dim=3, embed_dim=8, depth=1, mlp_widths=(8,))
    return compiled(keras.Sequential([net]), "mse")


@specimen("set", "bayesflow", **SETS, package="bayesflow")
def bayesflow_set_transformer() -> Any:
    """A set transformer as a summary, on masked members."""
    net = of("bayesflow").networks.SetTransformer(summary_dim=3, embed_dims=(8,), num_heads=(2,), num_seeds=2)
    return compiled(keras.Sequential([layers.Masking(), net]), "mse")


@specimen("time series", "bayesflow", **SETS, package="bayesflow")
def bayesflow_time_series() -> Any:
    """Convolutions and a recurrent net with skips as a summary."""
    net = of("bayesflow").networks.TimeSeriesNetwork(summary_dim=3, filters=4, recurrent_dim=4, skip_steps=2)
    return compiled(keras.Sequential([net]), "mse")


def graphs() -> tuple[parts.Array, parts.Array]:
    """Return nodes, the last feature saying that they are there, and adjacency."""
    nodes = np.concatenate([series("nodes", 3), parts.valid(dtype="float32")[..., None]], axis=-1)
    rng = parts.rng_of("edges")
    links = np.zeros((len(LENGTHS), parts.TOTAL, parts.TOTAL), dtype="float32")
    for graph, n in zip(links, LENGTHS, strict=True):
        one = rng.integers(0, 2, (n, n))
        graph[:n, :n] = np.maximum(one, one.T) + np.eye(n)
    return nodes, links


GRAPHS: dict[str, Any] = {
    "feed": lambda: Batch(list(graphs()), labels()),
    "lengths": {"steps": LENGTHS},
    "x": [STEPS, Padded(axes={1: "steps", 2: "steps"})],
    "package": "spektral",
    "backends": TF,
}


@specimen("graph", "spektral", **GRAPHS)
def spektral_masked_graphs() -> Any:
    """Graph convolutions under the mask of the nodes, and the sum of all nodes."""
    library = of("spektral.layers")
    nodes, links = keras.Input((None, 4)), keras.Input((None, None))
    x = library.GraphMasking()(nodes)
    for _ in range(2):
        x = library.GCNConv(6, activation="relu")([x, links])
    return classified([nodes, links], library.GlobalSumPool()(x))


@specimen("graph", "spektral", **GRAPHS)
def spektral_mean_of_nodes() -> Any:
    """The same, and the mean of all nodes, those that are none too."""
    library = of("spektral.layers")
    nodes, links = keras.Input((None, 4)), keras.Input((None, None))
    x = library.GCNConv(6, activation="relu")([library.GraphMasking()(nodes), links])
    return classified([nodes, links], library.GlobalAvgPool()(x))


DNA: dict[str, Any] = {
    "feed": lambda: Batch({"input_ids": ids(), "attention_mask": parts.valid(dtype="int32")}, labels()),
    "lengths": {"steps": LENGTHS},
    "x": {"input_ids": STEPS, "attention_mask": STEPS},
    "package": "keras_bio",
}


@specimen(
    "protein",
    "keras-bio",
    **{
        **DNA,
        "y": STEPS,
        "outputs": (STEPS,),
        "feed": lambda: Batch(
            {"input_ids": ids(low=4), "attention_mask": parts.valid(dtype="int32")}, ids("tags", low=0, high=3)
        ),
    },
)
def esm2_residues() -> Any:
    """A protein model that tags residues, of the package as it stands."""
    esm2 = of("keras_bio.protein.esm2.modeling")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("input_ids", "attention_mask")}
    backbone = {"vocab_size": 24, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    outputs = esm2.ESM2ForTokenClassification(num_labels=3, **backbone)(inputs)
    return compiled(keras.Model(inputs, outputs["logits"]), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
