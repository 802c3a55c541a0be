"""A tensor of any dtype becomes an array that NumPy can compute with."""

import keras
import numpy as np
import pytest
from keras import layers

import masklib
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance.changes import Change

pytestmark = pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", "float32"), ("float16", "float16"), ("int32", "int32")])
def test_only_bfloat16_becomes_another_type(dtype: str, expected: str):
    array = to_array(keras.ops.convert_to_tensor([1, 2, 3], dtype=dtype))

    assert (array.dtype.name, array.tolist()) == (expected, [1, 2, 3])


def test_a_variable_becomes_a_copy():
    variable = keras.Variable(np.ones(3))
    array = to_array(variable.value)
    array[:] = 5

    assert to_array(variable.value).tolist() == [1, 1, 1]


def test_masked_steps_inside_a_model_of_bfloat16_are_changed_as_in_one_of_float32():
    """NumPy does not treat bfloat16 as floats: without a conversion nothing would be put at masked steps of such a model."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 3))
    h = layers.Dense(4, bias_initializer="ones", dtype="bfloat16")(layers.Masking(dtype="bfloat16")(x))
    model = keras.Model(x, layers.Dense(2, dtype="bfloat16")(layers.Flatten(dtype="bfloat16", name="flatten")(h)))
    check = masklib.check_padding(model)

    assert [(leak.change, leak.layer) for leak in check.leaks if leak.kind == "output"] == [(Change.MASKED_CONTENT, "flatten")]
