"""masklib.experiments.call_signatures: a mask is identified by its values, and an unknown mask is not named after another."""

import keras
import numpy as np

from masklib.experiments import call_signatures

FIRST, SECOND = np.array([[True, False]]), np.array([[True, True]])


def masked(mask: np.ndarray) -> keras.KerasTensor:
    return keras.layers.Masking()(keras.ops.convert_to_tensor(np.ones((1, 2, 3), "float32") * mask[..., None]))


def test_each_mask_is_named():
    layer = call_signatures.TwoWithOwnMasks({"first": FIRST, "second": SECOND})
    layer(masked(FIRST), masked(SECOND))
    assert layer.in_call == "first, second"
    assert layer.in_compute_mask == "first"


def test_an_unknown_mask_is_distinguished_from_no_mask():
    layer = call_signatures.WithMask({"first": FIRST})
    layer(masked(SECOND))
    assert layer.in_call == "another mask"
    layer(np.ones((1, 2, 3), "float32"))
    assert layer.in_call == "None"
