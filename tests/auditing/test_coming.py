"""What the audit says of a model that is right today, and relies on masks which the next Keras does not hand on."""

from types import ModuleType
from typing import Any

import pytest

from masklib.auditing.report import coming

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture
def notes(keras: ModuleType) -> Any:
    """The evidence of the notes on the next Keras in the audit of a model."""
    from masklib.auditing.report.report import audit

    return lambda model: [one.evidence for one in audit(model).findings if one.code == "MSK501"]


def tagger(keras: ModuleType, *between: Any, loss: Any = None) -> Any:
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    for layer in (keras.layers.LSTM(4, return_sequences=True, name="lstm"), *between, keras.layers.Dense(1)):
        x = layer(x)
    model = keras.Model(ids, x)
    if loss:
        model.compile(loss=loss, optimizer="sgd")
    return model


def test_a_mask_that_only_the_loss_uses_is_named_where_there_is_a_loss(keras: ModuleType, notes: Any):
    assert notes(tagger(keras)) == []
    (evidence,) = notes(tagger(keras, loss="mse"))
    assert [line.partition(", on Keras")[0] for line in evidence] == ["'lstm': its mask goes to the loss"]


def test_a_mask_is_followed_through_layers_that_keep_it(keras: ModuleType, notes: Any):
    (evidence,) = notes(tagger(keras, keras.layers.Dropout(0.5), keras.layers.GRU(4, name="gru")))
    assert [line.partition(", on Keras")[0] for line in evidence] == ["'lstm': its mask goes to gru"]


def test_a_subclass_of_a_layer_of_keras_is_one(keras: ModuleType, notes: Any):
    class Mine(keras.layers.LSTM):
        pass

    assert notes(tagger(keras, Mine(4, return_sequences=True, name="mine"), loss="mse"))


@pytest.mark.slow
def test_where_the_next_keras_is_installed_nothing_is_foretold(keras: ModuleType, notes: Any, monkeypatch: pytest.MonkeyPatch):
    model = tagger(keras, loss="mse")
    monkeypatch.setattr(coming, "_coming", lambda: {"keras": keras.__version__, "layers": ["LSTM"]})
    assert notes(model) == []
    monkeypatch.setattr(coming, "_coming", lambda: {"keras": "99.0", "layers": ["GRU"]})
    assert notes(model) == []
    monkeypatch.setattr(coming, "_coming", lambda: {"keras": "99.0", "layers": ["LSTM"]})
    assert notes(model) != []
