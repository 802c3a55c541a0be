"""What a check of padding finds in faulty models, and that it finds nothing in healthy models of the same kinds."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance import comparing, noise, situations
from masklib.auditing.invariance.changes import Entry
from masklib.auditing.invariance.check import PaddingCheck, check_padding
from masklib.errors import ArgumentError, NoPaddingError, UntestableError
from masklib.experiments import models
from masklib.losses import MaskedMeanSquaredError
from tests.auditing import models as small

Build = Callable[[], Any]
# Keras says so while the faulty models are built, which is their fault.
pytestmark = [pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning"), pytest.mark.usefixtures("eagerly")]


def found(check: PaddingCheck, kind: str = "output") -> set[str]:
    """The changes by which something of this kind leaks."""
    return {leak.change for leak in check.leaks if leak.kind == kind}


def passed(check: PaddingCheck, kind: str = "output") -> set[str]:
    """The changes that something of this kind passed."""
    return {one.change for one in check.passed if one.kind == kind}


def compiled(model: Any, loss: Any = "mse", **options: Any) -> Any:
    model.compile("sgd", loss, **options)
    return model


ALL = {"longer padding", "embedding row", "batch mates", "no padding", "compiled"}


@pytest.mark.parametrize(
    ("faulty", "healthy", "layer"),
    [
        (lambda: small.recurrent(masked=False), small.recurrent, "lstm"),
        (lambda: small.convolved(masked=False), lambda: small.convolved(masked=True), "conv"),
        (
            lambda: models.seq2seq(small.VOCABULARY, 4, 5, 7, explicit=False),
            lambda: models.seq2seq(small.VOCABULARY, 4, 5, 7, explicit=True),
            "decoder",
        ),
    ],
)
def test_a_leak_is_found_where_it_enters_and_the_healthy_model_is_silent(faulty: Build, healthy: Build, layer: str):
    check = check_padding(faulty())
    assert found(check) == ALL - {"batch mates", "compiled"}
    assert {leak.layer for leak in check.leaks if leak.kind == "output"} == {layer}
    sound = check_padding(healthy())
    assert sound.ok
    assert passed(sound) == ALL
    assert passed(sound, "gradient") == {"longer padding", "embedding row"}


def test_the_size_of_a_leak_is_the_difference_that_padding_makes():
    model, x = small.recurrent(masked=False), small.TOKENS
    plain = to_array(model(x[1:2, :2]))
    padded = to_array(model(x[1:2]))
    others = [np.abs(to_array(model(x[i : i + 1, :n])) - to_array(model(x[i : i + 1]))).max() for i, n in ((1, 2), (2, 3))]
    (leak,) = [one for one in check_padding(model, x).leaks if one.change == "no padding" and one.kind == "output"]
    assert leak.size == pytest.approx(max(others), rel=1e-3)
    assert leak.relative == pytest.approx(leak.size / np.abs(to_array(model(x))).max(), rel=1e-3)
    assert np.abs(plain - padded).max() <= leak.size * (1 + 1e-3)


def test_a_lost_mask_that_changes_nothing_is_not_a_leak():
    check = check_padding(small.bare_convolution())
    assert check.ok
    assert {"longer padding", "no padding"} <= passed(check)


def test_steps_that_are_padding_may_differ():
    check = check_padding(small.recurrent(masked=False, sequences=True))
    assert check.ok
    assert passed(check) == ALL


def test_garbage_beside_a_mask_is_found_where_the_mask_is_not_used():
    assert "padded content" in found(check_padding(small.given_mask(used=False)))
    sound = check_padding(small.given_mask(used=True))
    assert sound.ok
    assert "padded content" in passed(sound)


def test_samples_that_depend_on_other_samples_are_found():
    x = small.ids()
    h = small.Centred(name="centred")(layers.LSTM(3)(small.embedding()(x)))
    check = check_padding(keras.Model(x, h))
    assert "batch mates" in found(check)
    assert {leak.layer for leak in check.leaks if leak.change == "batch mates"} == {"centred"}


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_model_that_is_said_to_be_causal_is_tested_for_it(is_causal: bool):
    x = small.ids()
    e = small.embedding()(x)
    h = layers.MultiHeadAttention(2, 3, name="attention")(e, e, use_causal_mask=is_causal)
    check = check_padding(keras.Model(x, h), causal=True)
    assert ("later steps" in found(check)) != is_causal
    assert ("later steps" in passed(check)) == is_causal


def test_later_steps_are_tested_if_a_layer_is_causal_and_not_without_one():
    x = small.ids()
    causal = layers.Conv1D(3, 3, padding="causal")(small.embedding()(x))
    assert "later steps" in passed(check_padding(keras.Model(x, causal)))
    plain = check_padding(small.recurrent(sequences=True))
    assert "later steps" not in passed(plain)
    assert "later steps" not in found(plain)


def test_a_fixed_length_is_reported_as_untested():
    x = small.ids(steps=6)
    model = keras.Model(x, layers.Dense(2)(layers.Flatten(name="flatten")(small.embedding()(x))))
    check = check_padding(model)
    assert {one.change for one in check.untested if one.kind == "output"} == {"longer padding", "no padding"}
    assert found(check) == {"embedding row", "masked content"}


def test_a_declared_length_is_not_a_fixed_length():
    assert passed(check_padding(small.recurrent(steps=6))) == ALL


def test_a_table_of_positions_that_ends_is_a_fixed_length():
    class Positions(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.table = layers.Embedding(9, 6)

        def call(self, inputs: Any) -> Any:
            return inputs + self.table(ops.arange(ops.shape(inputs)[1]))

    x = small.ids()
    h = layers.GlobalAveragePooling1D()(Positions()(small.embedding()(x)), mask=ops.not_equal(x, 0))
    check = check_padding(keras.Model(x, h))
    assert check.ok
    assert "longer padding" in {one.change for one in check.untested}
    assert "no padding" in passed(check)


def test_an_output_whose_steps_are_not_known_is_not_judged():
    x = small.ids()
    model = keras.Model(x, layers.Conv1D(3, 3, strides=2)(small.embedding()(x)))
    check = check_padding(model)
    assert not [one for one in check.leaks if one.kind == "output"]
    assert {one.change for one in check.untested if one.kind == "output"} == ALL - {"batch mates", "compiled"}


def test_a_row_that_is_also_an_output_class_is_not_changed():
    x = small.ids()
    shared = layers.ReversibleEmbedding(small.VOCABULARY, 6, mask_zero=True)
    check = check_padding(keras.Model(x, shared(layers.LSTM(6, return_sequences=True)(shared(x)), reverse=True)))
    assert check.ok
    assert any(one.change == "embedding row" and "something else" in one.why for one in check.untested)


@pytest.mark.parametrize("masked", [True, False])
def test_a_subclassed_model_of_dicts_is_tested_with_its_inputs(masked: bool):
    inputs = {"ids": small.TOKENS, "extra": np.ones((3, 2), "float32")}
    check = check_padding(small.Tagger(masked=masked), inputs)
    assert {leak.of for leak in check.leaks if leak.kind == "output"} == (set() if masked else {"last"})


def test_padding_at_the_beginning_is_tested_there():
    assert found(check_padding(small.recurrent(masked=False), padding_side="pre")) == ALL - {"batch mates", "compiled"}
    assert check_padding(small.recurrent(), padding_side="pre").ok


def test_states_of_a_stateful_layer_are_restored_each_time():
    model = models.stateful("gru", small.VOCABULARY, 4, 5, (4, 6))
    check = check_padding(model)
    assert check.ok
    assert "longer padding" in passed(check)
    assert any(one.change == "no padding" for one in check.untested)


@pytest.mark.parametrize("masked", [True, False])
def test_statistics_of_training_are_tested_without_the_dropout(masked: bool):
    x = small.ids()
    e = layers.Dropout(0.5)(small.embedding()(x))
    normal = layers.BatchNormalization(name="normal")
    h = normal(e, mask=ops.not_equal(x, 0) if masked else ops.ones_like(x, dtype="bool"))
    check = check_padding(keras.Model(x, layers.LSTM(3)(h, mask=ops.not_equal(x, 0))))
    assert found(check, "statistics") == (set() if masked else {"longer padding", "embedding row"})
    assert not check.untested or all(one.kind == "loss" for one in check.untested)


def test_a_loss_that_counts_padding_is_distinguished_from_one_that_does_not():
    lost = compiled(keras.Sequential([small.recurrent(sequences=True), layers.Lambda(lambda y: y * 1.0)]))
    check = check_padding(lost)
    assert found(check, "loss") == {"longer padding", "padded content"}
    assert {leak.entry for leak in check.leaks} == {Entry.ITSELF}
    assert check.denominators == {"loss": "all steps"}
    sound = check_padding(compiled(small.recurrent(sequences=True)))
    assert sound.ok
    assert passed(sound, "loss") == {"longer padding", "padded content", "embedding row"}
    assert sound.denominators == {"loss": "valid steps"}


def test_a_loss_that_finds_padding_in_the_targets_is_not_accused():
    build = [small.recurrent(sequences=True), layers.Lambda(lambda y: y * 1.0)]
    assert check_padding(compiled(keras.Sequential(build), MaskedMeanSquaredError(mask_value=-7.0))).ok


def test_a_loss_that_only_divides_by_padding_is_reported_as_such():
    def mean(y: Any, p: Any) -> Any:
        return ops.mean(ops.mean(ops.square(y - p), -1) * ops.cast(ops.any(ops.not_equal(y, 0.0), -1), "float32"))

    check = check_padding(compiled(small.recurrent(sequences=True), mean))
    assert found(check, "loss") == {"longer padding"}
    assert {leak.entry for leak in check.leaks if leak.kind == "loss"} == {Entry.DIVISOR}


def test_a_loss_that_only_shows_a_leak_of_the_output_does_not_leak_by_itself():
    check = check_padding(compiled(small.recurrent(masked=False)))
    (leak,) = [one for one in check.leaks if one.kind == "loss" and one.change == "longer padding"]
    assert not leak.alone
    assert leak.layer == "lstm"


@pytest.mark.parametrize(("how", "leaks"), [("metrics", True), ("weighted_metrics", False)])
def test_a_metric_that_ignores_the_mask_leaks_unless_it_is_weighted(how: str, leaks: bool):
    x = small.ids()
    h = layers.Dense(1, activation="sigmoid")(layers.LSTM(4, return_sequences=True)(small.embedding()(x)))
    precision = keras.metrics.Precision(name="precision")
    check = check_padding(compiled(keras.Model(x, h), "binary_crossentropy", **{how: [precision, "accuracy"]}))
    of_one_batch = {leak.of for leak in check.leaks if leak.entry is not Entry.BATCHES}
    assert of_one_batch == ({"precision"} if leaks else set())
    assert {leak.of for leak in check.leaks if leak.entry is Entry.BATCHES} == ({"accuracy"} if leaks else set())


def test_a_gradient_that_padding_turns_into_nan_is_found():
    class Logarithm(layers.Layer):
        def call(self, inputs: Any, mask: Any = None) -> Any:
            return ops.where(ops.expand_dims(mask, -1), ops.log(ops.square(inputs)), 0.0)

    x = keras.Input((None, 3))
    masked = layers.Masking()(x)
    h = layers.GlobalAveragePooling1D()(
        Logarithm()(layers.Dense(4, use_bias=False)(masked)), mask=ops.any(ops.not_equal(x, 0.0), -1)
    )
    check = check_padding(keras.Model(x, h))
    assert found(check) == set()
    assert found(check, "gradient") == {"no padding"}


def test_the_loss_of_batches_is_reported_beside_that_of_one():
    check = check_padding(compiled(small.recurrent(sequences=True)))
    one, two = check.batch_size["loss"]
    assert one != pytest.approx(two, rel=1e-5)
    assert check_padding(compiled(small.recurrent())).batch_size == {}


def test_targets_and_weights_that_are_given_are_used():
    model = compiled(small.recurrent(sequences=True))
    y = np.random.default_rng(0).normal(size=(3, 5, small.UNITS)).astype("float32")
    assert check_padding(model, small.TOKENS, y, sample_weight=(small.TOKENS != 0).astype("float32")).ok
    with pytest.raises(ArgumentError, match="3 samples"):
        check_padding(model, small.TOKENS, y[:2])


def test_random_outputs_are_not_tested():
    x = small.ids()
    model = keras.Model(x, small.Noisy(0.1)(layers.LSTM(3)(small.embedding()(x))))
    with pytest.raises(UntestableError, match="nothing was tested"):
        check_padding(model)


def test_outputs_that_are_not_finite_are_not_tested():
    x = small.ids()
    with pytest.raises(UntestableError, match="finite"):
        check_padding(keras.Model(x, ops.log(layers.LSTM(3)(small.embedding()(x)))))


def test_what_is_not_a_model_and_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match=r"keras\.Model"):
        check_padding("model")
    with pytest.raises(NoPaddingError, match="padding"):
        check_padding(small.recurrent(), np.ones((3, 4), int))
    with pytest.raises(ArgumentError, match="'ids' must have shape"):
        check_padding(small.recurrent(), np.ones((3, 4, 2), int))


def test_the_same_seed_finds_the_same_numbers():
    model = compiled(small.recurrent(masked=False, sequences=False))
    assert check_padding(model, seed=3).leaks == check_padding(model, seed=3).leaks


def test_the_model_is_restored():
    x = small.ids()
    h = layers.BatchNormalization()(layers.Dropout(0.3)(small.embedding()(x)))
    h = layers.Dense(3, activation="softmax")(layers.GRU(4, return_sequences=True)(h))
    model = compiled(keras.Model(x, h), "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = [to_array(variable.value) for variable in model.variables]
    attributes = {layer.name: sorted(vars(layer)) for layer in model.layers}
    built = model._compile_loss.built, model._compile_metrics.built, len(model.metrics)
    check_padding(model)
    assert all(np.array_equal(a, to_array(b.value)) for a, b in zip(before, model.variables, strict=True))
    assert {layer.name: sorted(vars(layer)) for layer in model.layers} == attributes
    assert (model._compile_loss.built, model._compile_metrics.built, len(model.metrics)) == built
    assert model.input_shape == (None, None)


def test_the_model_is_restored_after_an_error():
    class Fussy(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return ops.log(inputs)

    x = small.ids(steps=6)
    model = keras.Model(x, Fussy()(layers.LSTM(3)(small.embedding()(x))))
    before = [to_array(weight.value) for weight in model.weights]
    with pytest.raises(UntestableError):
        check_padding(model)
    assert all(np.array_equal(a, to_array(b.value)) for a, b in zip(before, model.weights, strict=True))
    with pytest.raises(ValueError, match="expected shape"):
        model(np.ones((2, 8), int))


def test_the_tolerance_follows_the_noise_of_the_model():
    """Large numbers of opposite sign that cancel lose digits, so the tolerance becomes larger."""

    def tolerance(offset: float) -> float:
        x = keras.Input((None, 3))
        h = layers.LSTM(3)(layers.Masking()(x))
        shifted = layers.Dense(3, use_bias=True, kernel_initializer="identity")
        model = keras.Model(x, ops.subtract(shifted(ops.add(h, offset)), offset))
        return max(
            one.tolerance for one in check_padding(model).passed if one.change == "longer padding" and one.kind == "output"
        )

    assert tolerance(0.0) < 1e-4
    assert tolerance(1000.0) > 30 * tolerance(0.0)


def test_rounding_in_half_precision_is_not_a_leak():
    x = keras.Input((None, 3))
    layer = layers.LSTM(3, dtype="mixed_float16")
    check = check_padding(keras.Model(x, layer(layers.Masking()(x))))
    assert check.ok
    assert max(one.tolerance for one in check.passed) > 1e-3


def test_a_tolerance_of_one_would_find_nothing(monkeypatch: pytest.MonkeyPatch):
    """The tests above would notice a check that lets everything pass."""
    monkeypatch.setattr(noise.Noise, "tolerance", property(lambda self: 1e9))
    assert check_padding(small.recurrent(masked=False)).ok


def test_a_comparison_at_padded_steps_would_report_the_healthy(monkeypatch: pytest.MonkeyPatch):
    """The tests above would notice a check that looks at padded steps, too."""
    for module in (comparing, situations):
        monkeypatch.setattr(module, "valid_elements", lambda shape, axes, batch: np.ones(shape, bool))
    assert "embedding row" in found(check_padding(small.recurrent(masked=False, sequences=True)))


def test_a_check_is_a_table_and_a_text():
    check = check_padding(small.recurrent(masked=False))
    frame = check.to_frame()
    assert len(frame) == len(check.leaks) + len(check.passed) + len(check.untested)
    assert set(frame["verdict"]) == {"leak", "passed", "not tested"}
    assert "enters at lstm" in str(check)
    assert "<td>lstm</td>" in check._repr_html_()
    assert len(check.valid) == 1
    assert np.asarray(check.inputs).shape == check.valid[0].shape


@pytest.mark.parametrize("biased", [True, False])
def test_content_of_masked_steps_is_tried_where_the_length_is_fixed(biased: bool):
    x = keras.Input((6, 3))
    h = layers.Dense(4, use_bias=biased, bias_initializer="ones")(layers.Masking()(x))
    check = check_padding(keras.Model(x, layers.Dense(2)(layers.Flatten(name="flatten")(h))))
    assert found(check) == ({"masked content"} if biased else set())
    assert {leak.layer for leak in check.leaks if leak.kind == "output"} == ({"flatten"} if biased else set())


@pytest.mark.parametrize("masked", [True, False])
def test_content_of_masked_steps_is_tried_after_a_layer_that_makes_a_mask(masked: bool):
    class Lookup(layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=(small.VOCABULARY, 6), initializer="random_normal")

        def call(self, inputs: Any) -> Any:
            return ops.take(self.table, inputs, axis=0)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return ops.not_equal(inputs, 0)

    x = small.ids()
    e = Lookup(name="lookup")(x)
    check = check_padding(keras.Model(x, layers.LSTM(3, name="lstm")(e if masked else ops.multiply(e, 1.0))))
    assert ("masked content" in found(check)) != masked
    assert ("masked content" in passed(check)) == masked


def test_the_steps_of_a_repeated_state_are_known_from_the_targets():
    x = keras.Input((6, 3), name="x")
    h = layers.LSTM(4, return_sequences=True)(layers.RepeatVector(6)(layers.LSTM(4)(layers.Masking()(x))))
    model = compiled(keras.Model(x, layers.Dense(3)(h)))
    inputs = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    inputs[1, 2:] = inputs[2, 4:] = 0.0
    assert "padded content" in found(check_padding(model, inputs, inputs), "loss")
    made = check_padding(model, inputs)
    assert not found(made, "loss")
    assert any(one.kind == "loss" and "give targets" in one.why for one in made.untested)


def test_an_output_that_padding_turns_into_nan_is_a_leak_and_not_untestable():
    x = small.ids()
    plain = ops.sum(ops.cast(ops.equal(x, 0), "float32"), axis=1, keepdims=True)  # of a model that forgets to look
    model = keras.Model(x, ops.multiply(layers.LSTM(3)(small.embedding()(x)), ops.sqrt(ops.subtract(0.0, plain))))
    (leak,) = [one for one in check_padding(model).leaks if one.kind == "output" and one.change == "no padding"]
    assert leak.size == float("inf")


def test_concatenated_leaves_that_are_padded_independently_are_made_longer_together():
    one, two = small.ids("one"), small.ids("two")
    shared = small.embedding()
    content = [ops.multiply(shared(x), ops.cast(ops.expand_dims(ops.not_equal(x, 0), -1), "float32")) for x in (one, two)]
    both = layers.Concatenate()(content)
    valid = ops.logical_or(ops.not_equal(one, 0), ops.not_equal(two, 0))
    model = keras.Model([one, two], layers.LSTM(3, name="lstm")(both, mask=valid))
    inputs = [small.TOKENS, np.where(small.TOKENS[::-1] > 0, 4, 0)]
    check = check_padding(model, inputs)
    assert check.ok
    assert {"longer padding", "no padding"} <= passed(check)
    assert check.valid[-1].tolist() == ((inputs[0] != 0) | (inputs[1] != 0)).tolist()
    bare = keras.Model([one, two], layers.LSTM(3)(ops.multiply(both, 1.0)))
    assert "longer padding" in found(check_padding(bare, inputs))
    average = layers.Average()([shared(one), shared(two)])  # where only one leaf is valid, half of the step is padding
    assert found(check_padding(keras.Model([one, two], layers.LSTM(3)(average)), inputs)) == {"embedding row"}


def test_categories_in_columns_are_not_taken_for_padded_ids():
    x = keras.Input((3,), dtype="int32", name="categories")
    h = layers.Flatten()(layers.Embedding(small.VOCABULARY, 4)(x))
    model = keras.Model(x, layers.Dense(2)(h))
    check = check_padding(model)
    assert check.ok
    assert any(one.change == "embedding row" and "give inputs" in one.why for one in check.untested)
    assert not check_padding(model, np.array([[3, 4, 5], [6, 0, 0]])).ok
