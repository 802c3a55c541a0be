"""Targets that fit a loss, and what their padded steps may hold."""

from typing import Any

import keras
import numpy as np
import pytest

from masklib.auditing.inputs.targets import Kind, found_padding, kind_of, made, make, paddings, with_padding
from masklib.losses import MaskedMeanSquaredError

VALID = np.array([[True, True, False], [True, False, False]])


@pytest.mark.parametrize(
    ("loss", "width", "kind"),
    [
        ("mse", 4, Kind(False, 0)),
        ("sparse_categorical_crossentropy", 4, Kind(True, 4)),
        (keras.losses.SparseCategoricalCrossentropy(), 4, Kind(True, 4)),
        ("categorical_crossentropy", 4, Kind(False, 4)),
        ("binary_crossentropy", 4, Kind(False, 1)),
        ("crossentropy", 1, Kind(False, 1)),
        ("crossentropy", 3, Kind(False, 3)),
    ],
)
def test_a_loss_says_what_targets_it_takes(loss: Any, width: int, kind: Kind):
    assert kind_of(loss, np.zeros((2, 3, width))) == kind


def test_made_targets_are_what_the_loss_takes():
    output = np.random.default_rng(0).normal(size=(40, 3, 4))
    sparse, hot = make("sparse_categorical_crossentropy", output, Kind(True, 4), 0), make("mse", output, Kind(False, 4), 0)

    assert (sparse.shape, sparse.dtype.kind, sparse.max() < 4) == ((40, 3), "i", True)
    assert hot.shape == output.shape
    assert (hot.sum(axis=-1) == 1).all()
    right = (sparse == output.argmax(axis=-1)).mean()
    assert 0.5 < right < 0.95  # neither none nor all
    assert set(np.unique(make("binary_crossentropy", output, Kind(False, 1), 0))) == {0.0, 1.0}
    assert (make("poisson", output, Kind(False, 0), 0) > 0).all()
    assert set(np.unique(make("hinge", output, Kind(False, 0), 0))) == {-1.0, 1.0}


def test_what_a_loss_says_that_it_ignores_comes_first():
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=7)

    assert paddings(ignoring, Kind(True, 9), None) == [7.0, 0.0, -1.0, -100.0, 8.0]
    assert paddings(MaskedMeanSquaredError(mask_value=-3.0), Kind(False, 0), None)[0] == -3.0
    assert paddings("mse", Kind(False, 0), None) == [0.0, -1.0, -100.0]


def test_what_the_user_says_is_the_only_value():
    assert paddings("mse", Kind(False, 0), 4.0) == [4.0]
    assert paddings("mse", Kind(False, 0), 0.0) == [0.0]


def test_padding_of_targets_is_found_where_it_is_one_number():
    targets = np.where(VALID, 5, -1)

    assert found_padding(targets, VALID) == -1.0
    targets[1, 2] = 0
    assert found_padding(targets, VALID) is None


def test_padded_steps_get_a_value_that_the_type_of_the_targets_may_not_hold():
    assert with_padding(np.full((2, 3), 5), VALID, -1).tolist() == [[5, 5, -1], [5, -1, -1]]
    assert with_padding(np.full((2, 3), 5), VALID, 0.5).tolist() == [[5, 5, 0.5], [5, 0.5, 0.5]]


def test_targets_are_made_of_the_first_kind_that_the_loss_takes():
    def own(y: Any, p: Any) -> Any:
        """A loss whose name does not say what targets it takes."""

    output = np.random.default_rng(0).normal(size=(2, 3, 4))
    kind, target = made(own, output, 0, lambda y: y.shape == (2, 3))

    assert (kind, target.shape) == (Kind(True, 4), (2, 3))
    assert made(own, output, 0, lambda y: True)[0] == Kind(False, 0)
    assert made(own, output, 0, lambda y: False)[0] == Kind(False, 0)
