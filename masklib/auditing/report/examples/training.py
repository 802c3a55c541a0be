"""Models whose loss, metrics, gradients or statistics change with padding, by the code of the finding, and corrected ones."""

from typing import Any

import keras
from keras import layers, ops

from masklib import compat
from masklib.losses import MaskedMeanSquaredError
from masklib.metrics import MaskedMean

VOCABULARY = 20


def msk201_failing() -> Any:
    """An autoencoder: the mask ends where the sequence becomes a vector."""
    x = keras.Input((None, 3))
    code = layers.LSTM(8)(layers.Masking(0.0)(x))
    steps = ops.ones_like(x[..., :1]) * code[:, None]  # (B, T, 8), the code at each step
    model = keras.Model(x, layers.Dense(3)(layers.LSTM(8, return_sequences=True)(steps)))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk201_remedied() -> Any:
    """An autoencoder whose loss finds the padding in its targets."""
    model = msk201_failing()
    model.compile(loss=MaskedMeanSquaredError(mask_value=0.0), optimizer="adam")
    return model


@compat.register_serializable
def mean_over_all(y_true: Any, y_pred: Any) -> Any:
    """Return the squared error of steps with a target, divided by all steps."""
    valid = ops.cast(ops.any(y_true != 0.0, axis=-1), y_pred.dtype)
    return ops.mean(ops.mean((y_true - y_pred) ** 2, axis=-1) * valid)


@compat.register_serializable
def mean_over_valid(y_true: Any, y_pred: Any) -> Any:
    """Return the squared error of steps with a target, divided by those steps."""
    valid = ops.cast(ops.any(y_true != 0.0, axis=-1), y_pred.dtype)
    return ops.sum(ops.mean((y_true - y_pred) ** 2, axis=-1) * valid) / ops.maximum(ops.sum(valid), 1.0)


def msk202_failing() -> Any:
    """A custom loss: the mean of masked values."""
    model = msk201_failing()
    model.compile(loss=mean_over_all, optimizer="adam")
    return model


def msk202_remedied() -> Any:
    """A custom loss: the sum of masked values divided by the number of valid steps."""
    model = msk201_failing()
    model.compile(loss=mean_over_valid, optimizer="adam")
    return model


@compat.register_serializable
class LogOfValid(layers.Layer):  # type: ignore[misc]
    """Sums logarithms of valid steps; those of masked steps are computed, too, and not used."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the sum (B, F) of (B, T, F)."""
        return ops.sum(ops.where(mask[..., None], ops.log(ops.abs(inputs)), 0.0), axis=1)


@compat.register_serializable
class LogOfValidOnly(layers.Layer):  # type: ignore[misc]
    """Sums logarithms of valid steps; at masked steps the logarithm of 1 is computed, and not used."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the sum (B, F) of (B, T, F)."""
        valid = mask[..., None]
        return ops.sum(ops.where(valid, ops.log(ops.where(valid, ops.abs(inputs), 1.0)), 0.0), axis=1)


def msk203_failing() -> Any:
    """The gradient of a logarithm at the 0 of padding."""
    x = keras.Input((None, 3))
    masked = layers.Dense(4, use_bias=False)(layers.Masking(0.0)(x))
    model = keras.Model(x, layers.Dense(1)(LogOfValid()(masked)))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk203_remedied() -> Any:
    """The gradient of a logarithm at 1, where there is padding."""
    x = keras.Input((None, 3))
    masked = layers.Dense(4, use_bias=False)(layers.Masking(0.0)(x))
    model = keras.Model(x, layers.Dense(1)(LogOfValidOnly()(masked)))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk204_failing() -> Any:
    """A tagger with a loss and without metrics."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    model = keras.Model(ids, layers.Dense(1)(layers.LSTM(8, return_sequences=True)(x)))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk204_remedied() -> Any:
    """A tagger with a metric that is exact over all batches."""
    model = msk204_failing()
    model.compile(loss="mse", optimizer="adam", weighted_metrics=[MaskedMean("mse")])
    return model


@compat.register_serializable
def error_of_steps(y_true: Any, y_pred: Any) -> Any:
    """Return the squared error of each step, (B, T), for targets (B, T) and predictions (B, T, 1)."""
    return (y_true - ops.reshape(y_pred, ops.shape(y_true))) ** 2


def msk208_failing() -> Any:
    """Predictions of one number per step, (B, T, 1), for targets (B, T)."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.LSTM(8, return_sequences=True)(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    model = keras.Model(ids, layers.Dense(1)(x))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk208_remedied() -> Any:
    """A loss that returns one number per step."""
    model = msk208_failing()
    model.compile(loss=error_of_steps, optimizer="adam")
    return model


def msk301_failing() -> Any:
    """Precision of a tagger, without weights."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True)(x)
    model = keras.Model(ids, layers.Dense(1, activation="sigmoid")(x))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=[keras.metrics.Precision(name="precision")])
    return model


def msk301_remedied() -> Any:
    """Precision of a tagger, with the sample weights that `fit` and `evaluate` get."""
    model = msk301_failing()
    precision = keras.metrics.Precision(name="precision")
    model.compile(loss="binary_crossentropy", optimizer="adam", weighted_metrics=[precision])
    return model


def msk302_failing() -> Any:
    """A function as a metric: one number per batch."""
    model = msk201_failing()
    model.compile(loss=MaskedMeanSquaredError(mask_value=0.0), optimizer="adam", metrics=[mean_over_valid])
    return model


def msk302_remedied() -> Any:
    """A metric that keeps sums and counts."""
    model = msk201_failing()
    metric = MaskedMean("mse", mask_value=0.0)
    model.compile(loss=MaskedMeanSquaredError(mask_value=0.0), optimizer="adam", metrics=[metric])
    return model


def msk401_failing() -> Any:
    """Normalization of a batch without a mask; the pooling after it leaves padding out."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.BatchNormalization()(layers.Embedding(VOCABULARY, 8)(ids))
    return keras.Model(ids, layers.GlobalMaxPooling1D()(ops.where((ids != 0)[..., None], x, -1e9)))


def msk401_remedied() -> Any:
    """Normalization of a batch with a mask."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.BatchNormalization()(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    return keras.Model(ids, layers.GlobalMaxPooling1D()(ops.where((ids != 0)[..., None], x, -1e9)))


class OwnStep(keras.Model):  # type: ignore[misc] # Keras publishes no types
    """Computes what `evaluate` reports in its own `test_step`, over all steps."""

    def test_step(self, data: Any) -> dict[str, Any]:
        """Return the mean squared error."""
        x, y = data
        return {"error": ops.mean((y - self(x, training=False)) ** 2)}


class OwnStepOfValid(keras.Model):  # type: ignore[misc]
    """Computes what `evaluate` reports in its own `test_step`, over valid steps."""

    def test_step(self, data: Any) -> dict[str, Any]:
        """Return the mean squared error of valid steps."""
        x, y = data
        errors = ops.mean((y - self(x, training=False)) ** 2, axis=-1)
        valid = ops.cast(x != 0, errors.dtype)
        return {"error": ops.sum(errors * valid) / ops.maximum(ops.sum(valid), 1.0)}


def msk205_failing() -> Any:
    """A model whose own `test_step` does not use a mask."""
    tagger = msk301_failing()
    model = OwnStep(tagger.inputs, tagger.outputs)
    model.compile(optimizer="adam", loss="mse")
    return model


def msk205_remedied() -> Any:
    """The `test_step` leaves padding out by its own mask."""
    tagger = msk301_failing()
    model = OwnStepOfValid(tagger.inputs, tagger.outputs)
    model.compile(optimizer="adam", loss="mse")
    return model


def msk207_failing() -> Any:
    """Evaluated by its own `test_step`, trained by a loss that does not use a mask."""
    ids = keras.Input((None,), dtype="int32")
    mask = ids != 0
    x = layers.LSTM(8, return_sequences=True)(layers.Embedding(VOCABULARY, 8)(ids), mask=mask)
    x = layers.Dense(1)(x)
    model = OwnStepOfValid(ids, x * ops.cast(mask[..., None], x.dtype))
    model.compile(optimizer="adam", loss="mse")
    return model


def msk207_remedied() -> Any:
    """Trained by a loss that finds padding in the targets."""
    model = msk207_failing()
    model.compile(optimizer="adam", loss=MaskedMeanSquaredError(mask_value=0.0))
    return model


def msk206_failing() -> Any:
    """A regularizer of the output of a layer."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True, activity_regularizer=keras.regularizers.L2(0.1))(x)
    model = keras.Model(ids, layers.Dense(1)(x))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk206_remedied() -> Any:
    """The layer returns 0 at masked steps, which adds nothing to the penalty."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    regularizer = keras.regularizers.L2(0.1)
    x = layers.LSTM(8, return_sequences=True, zero_output_for_mask=True, activity_regularizer=regularizer)(x)
    model = keras.Model(ids, layers.Dense(1)(x))
    model.compile(loss="mse", optimizer="adam")
    return model


def msk303_failing() -> Any:
    """A mean of errors as a metric of a tagger."""
    model = msk301_failing()
    model.compile(loss="mse", optimizer="adam", metrics=["mae"])
    return model


def msk303_remedied() -> Any:
    """A metric that keeps the sum of errors, and the count of valid steps."""
    model = msk301_failing()
    model.compile(loss="mse", optimizer="adam", metrics=[MaskedMean("mae")])
    return model


def msk304_failing() -> Any:
    """A mean of errors as a metric of a tagger whose sequences have one length, on JAX."""
    ids = keras.Input((8,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    model = keras.Model(ids, layers.Dense(1)(layers.LSTM(8, return_sequences=True)(x)))
    model.compile(loss="mse", optimizer="adam", weighted_metrics=["mae"])
    return model


def msk304_remedied() -> Any:
    """A metric that gets the mask itself."""
    model = msk304_failing()
    model.compile(loss="mse", optimizer="adam", weighted_metrics=[MaskedMean("mae")])
    return model


def msk501_failing() -> Any:
    """Two LSTMs: the second gets the mask from the first."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True)(x)
    return keras.Model(ids, layers.Dense(1)(layers.LSTM(8)(x)))


def msk501_remedied() -> Any:
    """The second gets it from the model."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True)(x)
    return keras.Model(ids, layers.Dense(1)(layers.LSTM(8)(x, mask=ids != 0)))
