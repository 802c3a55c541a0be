"""`MaskedMean` is exact in what `fit` reports, on backends that call the model within a gradient."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = """
import json
import keras
import numpy as np
from keras import layers
from masklib.metrics import MaskedMean

keras.utils.set_random_seed(0)
ids = np.array([[3, 5, 2, 7, 4, 6], [4, 2, 0, 0, 0, 0], [6, 3, 5, 0, 0, 0]])
y = np.random.default_rng(0).normal(size=(3, 6, 1)).astype("float32")
x = keras.Input((None,), dtype="int32")
hidden = layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(x))
model = keras.Model(x, layers.Dense(1)(hidden))
model.compile(keras.optimizers.SGD(0.0), "mse", weighted_metrics=["mae", MaskedMean("mae", name="ours")])
error = np.abs(model.predict(ids, verbose=0) - y)[..., 0]
reported = {size: model.fit(ids, y, batch_size=size, verbose=0).history for size in (2, 3)}
print(json.dumps({
    "valid": float(error[ids != 0].mean()),
    "all": float(error.mean()),
    "ours": [one["ours"][0] for one in reported.values()],
    "keras": [one["mae"][0] for one in reported.values()],
}))
"""


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def reported(backend: str) -> dict[str, float | list[float]]:
    """What `fit` reports of a padded batch, as one batch and as two, on a backend."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_masked_mean_leaves_padding_out_in_fit(reported: dict[str, float | list[float]]):
    assert reported["ours"] == pytest.approx([reported["valid"]] * 2, rel=1e-5)


def test_keras_s_own_metric_counts_padding_in_fit_on_jax(backend: str, reported: dict[str, float | list[float]]):
    steps = "all" if backend == "jax" else "valid"
    assert reported["all"] != pytest.approx(reported["valid"], rel=1e-2)
    assert reported["keras"] == pytest.approx([reported[steps]] * 2, rel=1e-5)
