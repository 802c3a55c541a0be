"""Fixtures of the tests of the audit."""

import keras
import pytest


@pytest.fixture
def eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models run without compilation, which takes most of the time of an audit of a small model.

    For tests in which it does not matter how a model runs; those of the zoo and of the examples of findings compile.
    """
    trainer = next(one for one in keras.Model.__mro__ if "run_eagerly" in vars(one))
    monkeypatch.setattr(trainer, "run_eagerly", property(lambda self: True, lambda self, value: None))
