"""Many kernels forked from a process that has imported the backend, many at once, and each trains."""

import pytest

from masklib.engine.store import read_record
from tests.stores import runs_in
from tests.survival.conftest import House, assert_nothing_is_left

LIMIT_S = 1800  # of a sweep of 200 kernels, on a busy machine
TRAIN = """
import keras, numpy as np
keras.utils.set_random_seed(seed)
model = keras.Sequential([keras.layers.Masking(), keras.layers.LSTM(3), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
run.metric("loss", model.train_on_batch(np.ones((2, 5, 2)), np.ones((2, 1))))
"""


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize(
    ("backend", "kernels", "at_once"),
    [
        ("tensorflow", 24, 8),
        ("jax", 8, 8),
        pytest.param("tensorflow", 200, 16, marks=pytest.mark.full),
        pytest.param("jax", 200, 16, marks=pytest.mark.full),
    ],
)
def test_forked_kernels_train_an_lstm(house: House, backend: str, kernels: int, at_once: int):
    house.write("lstm", TRAIN)
    house.environment |= {"KERAS_BACKEND": backend, "PYTHONPATH": house.environment["PYTHONPATH"].partition(":")[2]}
    result = house.sweep("--timeout", 300, name="lstm", points=kernels, jobs=at_once, timeout=LIMIT_S)

    assert result.code == 0, result.err
    assert_nothing_is_left(house)
    assert len(runs_in(house.store)) == kernels
    assert {record.launch for record in map(read_record, runs_in(house.store))} == {"fork"}
