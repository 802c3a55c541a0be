"""masklib.layers: the guide's layers corrected, compared with those that the guide prints."""

from pathlib import Path

import keras
import numpy as np
import pytest

from masklib import layers
from masklib.experiments import documents, measure, models
from masklib.reference.attention import softmax_over_time

MASK = np.array([[True, True, False], [True, False, True], [False, False, False]])
LOGITS = np.random.default_rng(0).normal(scale=3, size=(3, 3, 2)).astype("float32")


def test_temporal_softmax_is_the_softmax_over_the_valid_steps():
    got = keras.ops.convert_to_numpy(layers.TemporalSoftmax()(LOGITS, mask=MASK))
    np.testing.assert_allclose(got, softmax_over_time(LOGITS, MASK), atol=1e-6)
    np.testing.assert_allclose(layers.TemporalSoftmax()(LOGITS), softmax_over_time(LOGITS), atol=1e-6)


def test_the_guides_own_temporal_softmax_is_not():
    got = keras.ops.convert_to_numpy(documents.TemporalSoftmax()(LOGITS, mask=MASK))
    assert np.isnan(got[~MASK]).all()
    assert np.abs(got[MASK] - softmax_over_time(LOGITS, MASK)[MASK]).max() > 0.1


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_temporal_softmax_does_not_count_what_stands_at_masked_steps(poison: float):
    poisoned = np.where(MASK[..., None], LOGITS, np.float32(poison))
    got = keras.ops.convert_to_numpy(layers.TemporalSoftmax()(poisoned, mask=MASK))
    np.testing.assert_allclose(got, softmax_over_time(LOGITS, MASK), atol=1e-6)


def test_masked_embedding_looks_up_rows_and_makes_the_mask():
    ids = np.array([[3, 1, 0], [2, 0, 0]])
    layer = layers.MaskedEmbedding(5, 4)
    np.testing.assert_array_equal(layer(ids), layer.get_weights()[0][ids])
    np.testing.assert_array_equal(layer.compute_mask(ids), ids != 0)


@pytest.mark.parametrize("layer", [layers.TemporalSoftmax(name="it"), layers.MaskedEmbedding(5, 4, name="it")])
def test_a_saved_model_comes_back_the_same(layer: keras.layers.Layer, tmp_path: Path):
    ids = np.array([[3, 1, 0], [2, 0, 0]])
    behind = [layer] if isinstance(layer, layers.TemporalSoftmax) else []
    if behind:
        model = models.embed_then(5, 4, 3, *behind)
    else:
        inputs = keras.Input((3,), dtype="int32")
        model = keras.Model(inputs, keras.layers.LSTM(2)(layer(inputs)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(measure.predict(again, ids), measure.predict(model, ids))
