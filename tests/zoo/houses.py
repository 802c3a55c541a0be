"""Imports every module that registers animals."""

from tests.zoo import (
    attention,
    convolution,
    healthy_attention,
    healthy_plain,
    healthy_recurrent,
    healthy_training,
    plain,
    recurrent,
    several_inputs,
    training,
)

OPEN = (
    plain,
    recurrent,
    convolution,
    attention,
    several_inputs,
    training,
    healthy_plain,
    healthy_recurrent,
    healthy_attention,
    healthy_training,
)
