"""Small models with masks, for the tests of the trace on every backend."""

import keras
import numpy as np
from keras import layers, ops

from masklib.auditing.tracing.outcomes import SILENT
from masklib.auditing.tracing.trace import trace

IDS = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 5, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]])  # 10 of 21 steps are valid
OTHER = np.array([[1, 2, 3, 4, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
T, F = 7, 5


def embed(name="embedding", mask_zero=True):
    return layers.Embedding(9, F, mask_zero=mask_zero, name=name)


def inputs(name="ids"):
    return keras.Input((T,), dtype="int32", name=name)


def after_embedding(*following):
    """A functional model of an Embedding with a mask and what follows: functions or layers."""
    ids = inputs()
    x = embed()(ids)
    for one in following:
        x = one(x)
    return keras.Model(ids, x)


class Own(keras.Model):
    """A model whose `call` is a function of itself and the ids, with layers by name."""

    def __init__(self, compute, **parts):
        super().__init__(name="own")
        self.compute = compute
        self.embedding = embed()
        for name, part in parts.items():
            setattr(self, name, part)

    def call(self, ids):
        """Compute."""
        return self.compute(self, ids)


class OwnLayer(layers.Layer):
    """A layer whose `call` is a function of itself and x."""

    def __init__(self, compute, name, supports_masking, **parts):
        super().__init__(name=name)
        self.compute = compute
        self.supports_masking = supports_masking
        for key, part in parts.items():
            setattr(self, key, part)

    def call(self, x):
        """Compute."""
        return self.compute(self, x)


class TakesMask(layers.Layer):
    """Averages valid steps."""

    def call(self, x, mask=None):
        """Return the average."""
        weights = ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)


class WrongName(layers.Layer):
    """Takes a mask by a name that Keras does not fill if there is one tensor."""

    def __init__(self, name):
        super().__init__(name=name)
        self.supports_masking = True

    def call(self, x, x_mask=None):
        """Return x, with 0 at masked steps if the mask is given."""
        return x if x_mask is None else x * ops.cast(x_mask, x.dtype)[..., None]


class ModelWithMask(keras.Model):
    """Takes a mask and gives it to its LSTM."""

    def __init__(self):
        super().__init__(name="inner")
        self.lstm = layers.LSTM(3, name="lstm")

    def call(self, x, mask=None):
        """Return the last state."""
        return self.lstm(x, mask=mask)


def pooled_by_hand(self, ids):
    valid = ops.cast(ops.not_equal(ids, 0), "float32")[..., None]
    return self.dense(ops.sum(self.embedding(ids) * valid, axis=1) / ops.sum(valid, axis=1))


COMPUTATIONS = {
    "residual": (lambda self, ids: self.lstm(self.embedding(ids) + 1.0), {"(computation)": SILENT}),
    "at the end": (lambda self, ids: self.embedding(ids) * 2.0, {"(computation)": SILENT}),
    "mean": (lambda self, ids: self.dense(ops.mean(self.embedding(ids), axis=1)), {"(computation)": SILENT}),
    "last step": (lambda self, ids: self.dense(self.embedding(ids)[:, -1]), {"(computation)": SILENT}),
    "first step": (lambda self, ids: self.dense(self.embedding(ids)[:, 0]), {}),
    "pooled by hand": (pooled_by_hand, {}),
    "zeroed by hand, then averaged": (
        lambda self, ids: self.mean(self.embedding(ids) * ops.cast(ids > 0, "float32")[..., None]),
        {"(computation)": SILENT},
    ),
    "mask given by hand": (lambda self, ids: self.lstm(self.embedding(ids) * 2.0, mask=ops.not_equal(ids, 0)), {}),
    "of the ids, not of what is masked": (
        lambda self, ids: (self.dense(ops.cast(ids, "float32")), self.lstm(self.embedding(ids))),
        {},
    ),
    "behind a layer that consumed": (lambda self, ids: self.dense(self.lstm(self.embedding(ids)) * 2.0), {}),
}


def residual(self, x):
    return self.norm(x + self.dense(x))


def attention_then(*following):
    """Embedding, attention with a residual connection, then layers."""
    return after_embedding(
        lambda x: layers.Add(name="add")([x, layers.MultiHeadAttention(2, 3, name="attention")(x, x)]), *following
    )


def traced_everywhere():
    """What is traced of models of every kind, by name: outcome, kind, share of valid steps."""
    models = {
        "attention": attention_then(layers.GlobalAveragePooling1D(name="mean")),
        "second": attention_then(lambda x: layers.MultiHeadAttention(2, 3, name="second")(x, x)),
        "merge": after_embedding(lambda x: layers.Concatenate()([x, layers.Lambda(lambda y: y * 2.0, name="it")(x)])),
        "wrappers": after_embedding(layers.TimeDistributed(layers.Dense(2)), layers.Bidirectional(layers.LSTM(2))),
        "block": after_embedding(
            OwnLayer(residual, "block", True, dense=layers.Dense(F), norm=layers.LayerNormalization()), layers.LSTM(3)
        ),
        "stateful": after_embedding(layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)]))),
    }
    for name, (compute, _) in COMPUTATIONS.items():
        models[name] = Own(compute, lstm=layers.LSTM(4), dense=layers.Dense(3), mean=layers.GlobalAveragePooling1D())
    return {
        name: [[call.outcome, call.kind, round(call.valid, 9) if call.valid >= 0 else None] for call in trace(model, IDS).calls]
        for name, model in models.items()
    }
