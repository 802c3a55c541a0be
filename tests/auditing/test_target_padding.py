"""Padded steps of targets hold the first value for which a loss ignores padding in every try."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.loss_inputs import Teaching
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.target_padding import Settled, TargetPadding, loss_name, replaced
from tests.auditing.test_predictions import prediction

Loss = Callable[[Prediction], float]
SUBJECT: Any = SimpleNamespace(unit=2.0**-23, seed=0, lengthened=SimpleNamespace(steps=3))


def settle(loss: Loss, teaching: Teaching | None = None, **options: Any) -> Settled:
    """Return what is chosen for padded steps, for a loss of one output."""
    values: Any = SimpleNamespace(loss=lambda predictions: loss(predictions[0]))
    return TargetPadding(values, SUBJECT, teaching or Teaching()).settle([prediction(**options).padded_with(0.0)])


def ignoring(*pads: float) -> Loss:
    """A mean square that leaves out steps whose targets are one of these."""

    def loss(one: Prediction) -> float:
        kept = ~np.isin(one.target, pads).all(axis=-1)
        return float(((one.target - one.array) ** 2).mean(axis=-1)[kept].mean())

    return loss


@pytest.mark.parametrize("pad", [0.0, -1.0, -100.0])
def test_the_value_that_a_loss_ignores_is_found(pad: float):
    settled = settle(ignoring(pad))

    assert settled.base[0].padding == pad
    assert all(one.relative < 1e-6 for one in settled.alone)


def test_the_first_value_is_chosen_if_the_loss_ignores_none():
    settled = settle(ignoring())

    assert settled.base[0].padding == 0.0
    assert max(one.relative for one in settled.alone) > 0.01
    assert {one.change for one in settled.alone} == {Change.PADDED_CONTENT, Change.LONGER_PADDING}


def test_a_value_is_not_chosen_if_the_loss_ignores_only_some_changes():
    """With 0 at padded steps this loss ignores other predictions there, but still divides by all steps."""

    def loss(one: Prediction) -> float:
        valid = (one.target != 0.0).all(axis=-1)
        errors = ((one.target - one.array) ** 2).mean(axis=-1)
        skipped = valid & (one.target != -1.0).all(axis=-1)
        return float((errors * skipped).sum() / (skipped.sum() if (one.target == -1.0).any() else skipped.size))

    settled = settle(loss)

    assert settled.base[0].padding == -1.0
    assert all(one.relative < 1e-6 for one in settled.alone)


def test_targets_that_are_given_stay_as_they_are():
    settled = settle(ignoring(-1.0), Teaching(targets=np.zeros(3)))

    assert settled.base[0].padding == 0.0
    assert max(one.relative for one in settled.alone) > 0.01


def test_a_value_that_the_user_gives_is_the_only_one_tried():
    assert settle(ignoring(-1.0), Teaching(target_pad=5.0)).base[0].padding == 5.0


def test_an_output_without_steps_or_without_a_loss_is_not_tried():
    assert settle(ignoring(), valid=None).alone == ()
    assert TargetPadding(SUBJECT, SUBJECT, Teaching()).settle([]).base == ()


def test_a_value_that_the_loss_does_not_take_is_skipped():
    def loss(one: Prediction) -> float:
        if (one.target == 0.0).any():
            raise CallError
        return ignoring(-1.0)(one)

    assert settle(loss).base[0].padding == -1.0


@pytest.mark.parametrize("loss", [ignoring(-1.0), ignoring()], ids=["-1 is ignored", "nothing is ignored"])
def test_a_value_for_which_the_loss_is_not_finite_is_skipped(loss: Loss):
    settled = settle(lambda one: np.nan if (one.target == 0.0).any() else loss(one))

    assert settled.base[0].padding == -1.0
    assert settled.alone


def test_the_loss_of_the_only_output_is_the_loss():
    one = prediction()
    assert (loss_name([one], 0), loss_name([one, one], 0)) == ("loss", "out")


def test_one_output_is_replaced_and_the_others_stay():
    base: Sequence[Prediction] = [prediction(), prediction()]
    other = prediction("pre")
    assert replaced(base, 1, other) == [base[0], other]
