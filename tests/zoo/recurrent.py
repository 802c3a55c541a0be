"""Faulty: recurrent models."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.feeding import TOTAL, Feed
from tests.zoo.parts import (
    LABEL,
    STEPS,
    TAGS,
    TOKENS,
    C,
    F,
    U,
    classifier,
    classify,
    compiled,
    embed,
    floats,
    tagger,
    token_ids,
)

STATE = Feed("vector", size=U, shift="state")
SOURCE, TARGET = Feed("ids", "a"), Feed("ids", "b")
TARGET_TAGS = Feed("classes", "b", size=C, free=True)
LEFT, LEFT_TAGS = Feed("ids", "b", side="left"), Feed("classes", "b", side="left", size=C, free=True)
CLASSIFIED = {"target_feeds": LABEL, "faults": "output loss gradient"}
TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,), "faults": "output loss gradient"}


def state_input() -> Any:
    """Return an input of states (B, U)."""
    return keras.Input((U,), name="state")


@animal("classifier", (TOKENS, STATE), problem="P01", **CLASSIFIED)
def lstm_with_state() -> Any:
    """`LSTM(x, initial_state=...)` ignores the mask of x, without a warning."""
    ids, state = token_ids("ids"), state_input()
    return classifier((ids, state), layers.LSTM(U)(embed(ids), initial_state=[state, state]))


@animal("classifier", (TOKENS, STATE), problem="P01", **CLASSIFIED)
def gru_with_state() -> Any:
    """`GRU(x, initial_state=...)` ignores the mask of x."""
    ids, state = token_ids("ids"), state_input()
    return classifier((ids, state), layers.GRU(U)(embed(ids), initial_state=state))


@animal("classifier", {"ids": TOKENS, "state": STATE}, problem="P01", **CLASSIFIED)
def simple_rnn_with_state() -> Any:
    """`SimpleRNN(x, initial_state=...)` ignores the mask of x; the inputs are a dict."""
    ids, state = token_ids("ids"), state_input()
    return classifier({"ids": ids, "state": state}, layers.SimpleRNN(U)(embed(ids), initial_state=state))


@animal("classifier", (TOKENS, STATE), problem="P01", **CLASSIFIED)
def stacked_cells_with_state() -> Any:
    """`RNN` of two cells with given states ignores the mask of x."""
    ids, state = token_ids("ids"), state_input()
    rnn = layers.RNN([layers.GRUCell(U), layers.GRUCell(U)])
    return classifier((ids, state), rnn(embed(ids), initial_state=[state, state]))


@animal("tagger", (TOKENS, STATE), problem="P01", **TAGGED)
def bidirectional_with_state() -> Any:
    """The backward half begins with the padding, in a layer that has a mask and is given states."""
    ids, state = token_ids("ids"), state_input()
    rnn = layers.Bidirectional(layers.GRU(U, return_sequences=True))
    return tagger((ids, state), rnn(embed(ids), initial_state=[state, state]))


@animal(
    "seq2seq",
    (SOURCE, LEFT),
    problem="P01",
    realistic=True,
    target_feeds=LEFT_TAGS,
    outputs=(LEFT,),
    faults="output loss gradient",
)
def seq2seq_padded_before() -> Any:
    """An encoder passes its states to a decoder whose padding comes first: the decoder runs over it."""
    source, target = token_ids("source"), token_ids("target")
    _, h, c = layers.LSTM(U, return_state=True)(embed(source))
    decoded = layers.LSTM(U, return_sequences=True)(embed(target), initial_state=[h, c])
    return compiled(keras.Model((source, target), classify(decoded)))


@animal("seq2seq", (SOURCE, TARGET), problem="P01", realistic=True, **CLASSIFIED)
def encoders_chained_by_state() -> Any:
    """Question after document: the second GRU starts from the first one's state, and reads on into its padding."""
    first, second = token_ids("document"), token_ids("question")
    state = layers.GRU(U)(embed(first))
    return classifier((first, second), layers.GRU(U)(embed(second), initial_state=state))


@animal(
    "seq2seq",
    (SOURCE, TARGET),
    problem="P01",
    realistic=True,
    target_feeds=TARGET_TAGS,
    outputs=(TARGET,),
    faults="output loss gradient",
)
def seq2seq_with_two_way_decoder() -> Any:
    """A tagger of the second sequence that starts both directions from the first one's state."""
    source, target = token_ids("source"), token_ids("target")
    _, h, c = layers.LSTM(U, return_state=True)(embed(source))
    rnn = layers.Bidirectional(layers.LSTM(U, return_sequences=True))
    return compiled(keras.Model((source, target), classify(rnn(embed(target), initial_state=[h, c, h, c]))))


@animal(
    "seq2seq",
    (SOURCE, TARGET),
    problem="P13",
    realistic=True,
    target_feeds=TARGET_TAGS,
    outputs=(TARGET,),
    faults="output loss gradient metric",
)
def seq2seq_encoder_without_mask() -> Any:
    """The encoder's embedding has no `mask_zero`: the state is that after the padding; the decoder's loss counts padding."""
    source, target = token_ids("source"), token_ids("target")
    state = layers.GRU(U)(embed(source, mask_zero=False))
    decoded = layers.GRU(U, return_sequences=True)(embed(target, mask_zero=False), initial_state=state)
    return compiled(keras.Model((source, target), classify(decoded)), metrics=["accuracy"])


@animal("tagger", TOKENS, problem="P13", realistic=True, given=False, **TAGGED)
def bilstm_tagger_without_mask() -> Any:
    """The backward half begins with the padding."""
    ids = token_ids()
    return tagger(ids, layers.Bidirectional(layers.LSTM(U, return_sequences=True))(embed(ids, mask_zero=False)))


@animal("classifier", TOKENS, problem="P13", **CLASSIFIED)
def backwards_without_mask() -> Any:
    """`go_backwards` begins with the padding."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U, go_backwards=True)(embed(ids, mask_zero=False)))


@animal("classifier", TOKENS, problem="P04", **CLASSIFIED)
def flipped_by_ops() -> Any:
    """`ops.flip` drops the mask, and puts the padding first."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(ops.flip(embed(ids), axis=1)))


@animal("classifier", TOKENS, problem="P33", **CLASSIFIED)
def last_step_of_zeroed_outputs() -> Any:
    """`x[:, -1]` where masked outputs are zeros: the last step of a padded sample is 0."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U, return_sequences=True, zero_output_for_mask=True)(embed(ids))[:, -1])


@animal("classifier", TOKENS, problem="P33", realistic=True, **CLASSIFIED)
def last_step_of_two_ways() -> Any:
    """`x[:, -1]` of a masked Bidirectional: the backward half has not begun there, if the step is padding."""
    ids = token_ids()
    return classifier(ids, layers.Bidirectional(layers.LSTM(U, return_sequences=True))(embed(ids))[:, -1])


@animal("classifier", STEPS, problem="P33", **CLASSIFIED)
def last_step_without_mask() -> Any:
    """`x[:, -1]` of a GRU that has read the padding."""
    x = floats()
    return classifier(x, layers.GRU(U, return_sequences=True)(x)[:, -1])


@animal("forecast", STEPS, problem="P13", fixed_batch=True, target_feeds=LABEL, faults="output loss gradient")
def stateful_without_mask() -> Any:
    """A stateful GRU carries the state after the padding into the next batch."""
    x = keras.Input(batch_shape=(3, None, F))
    return compiled(keras.Model(x, classify(layers.GRU(U, stateful=True)(x))))


@animal("classifier", (SOURCE, TARGET), problem="P23", realistic=True, fixed_length=True, **CLASSIFIED)
def mask_of_the_other_sequence() -> Any:
    """A mask passed by hand, and it is that of the other input: valid steps are left out, padding is read."""
    source, target = token_ids("source", TOTAL), token_ids("target", TOTAL)
    mask = custom.PadMask()(source)
    return classifier((source, target), layers.LSTM(U)(embed(target), mask=mask))


@animal("tagger", TOKENS, problem="P27", realistic=True, **TAGGED)
def stacked_with_dense_by_lambda() -> Any:
    """Two BiGRUs with a Lambda between them: the second one has no mask."""
    ids = token_ids()
    first = layers.Bidirectional(layers.GRU(U, return_sequences=True))(embed(ids))
    return tagger(ids, layers.Bidirectional(layers.GRU(U, return_sequences=True))(layers.Lambda(custom.double)(first)))


@animal(
    "autoencoder",
    STEPS,
    problem="P16",
    realistic=True,
    fixed_length=True,
    target_feeds=Feed("steps", free=True),
    outputs=(STEPS,),
    faults="loss metric gradient",
)
def lstm_autoencoder() -> Any:
    """RepeatVector ends the mask: the reconstruction of the padding counts."""
    x = floats(length=TOTAL)
    code = layers.LSTM(U)(layers.Masking(0.0)(x))
    steps = layers.LSTM(U, return_sequences=True)(layers.RepeatVector(TOTAL)(code))
    return compiled(keras.Model(x, layers.Dense(F)(steps)), "mse", metrics=["mae"])


@animal(
    "autoencoder",
    TOKENS,
    problem="P16",
    fixed_length=True,
    target_feeds=TAGS,
    outputs=(TOKENS,),
    faults="loss gradient",
)
def repeat_vector_to_tags() -> Any:
    """A decoder of RepeatVector writes as many tags as there are steps, and all of them count."""
    ids = token_ids(length=TOTAL)
    return tagger(ids, layers.GRU(U, return_sequences=True)(layers.RepeatVector(TOTAL)(layers.GRU(U)(embed(ids)))))
