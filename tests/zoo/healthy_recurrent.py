"""Healthy: recurrent models."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.feeding import TOTAL, Feed
from tests.zoo.parts import LABEL, STEPS, TAGS, TOKENS, F, U, classifier, classify, compiled, embed, floats, tagger, token_ids
from tests.zoo.recurrent import LEFT, LEFT_TAGS, SOURCE, STATE, TARGET, TARGET_TAGS, state_input
from tests.zoo.several_inputs import DOCUMENTS, sentence_encoder

TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}


@animal("classifier", TOKENS, target_feeds=LABEL, given=False, problem="P13")
def masked_lstm() -> Any:
    """The guide's first model."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(embed(ids)))


@animal("classifier", STEPS, target_feeds=LABEL, realistic=True, problem="P13")
def stacked_behind_masking() -> Any:
    """Series with Masking, then two recurrent layers with dropout."""
    x = floats()
    first = layers.LSTM(U, return_sequences=True, dropout=0.2, recurrent_dropout=0.1)(layers.Masking(0.0)(x))
    return classifier(x, layers.GRU(U)(first))


@animal("tagger", TOKENS, realistic=True, given=False, problem="P13", faults="batches", **TAGGED)
def bilstm_tagger() -> Any:
    """The tagger of every textbook."""
    ids = token_ids()
    return tagger(ids, layers.Bidirectional(layers.LSTM(U, return_sequences=True))(embed(ids)), metrics=["accuracy"])


@animal("classifier", (TOKENS, STATE), target_feeds=LABEL, problem="P01")
def gru_with_state_and_mask() -> Any:
    """States by hand, and the mask by hand beside them."""
    ids, state = token_ids("ids"), state_input()
    return classifier((ids, state), layers.GRU(U)(embed(ids), initial_state=state, mask=custom.PadMask()(ids)))


@animal("tagger", (TOKENS, STATE), problem="P01", **TAGGED)
def bidirectional_with_state_and_mask() -> Any:
    """Both directions get states, and the mask."""
    ids, state = token_ids("ids"), state_input()
    rnn = layers.Bidirectional(layers.GRU(U, return_sequences=True))
    return tagger((ids, state), rnn(embed(ids), initial_state=[state, state], mask=custom.PadMask()(ids)))


@animal("seq2seq", (SOURCE, LEFT), realistic=True, target_feeds=LEFT_TAGS, outputs=(LEFT,), problem="P01")
def seq2seq_padded_before_with_mask() -> Any:
    """A decoder whose padding comes first, and which is given its mask."""
    source, target = token_ids("source"), token_ids("target")
    _, h, c = layers.LSTM(U, return_state=True)(embed(source))
    rnn = layers.LSTM(U, return_sequences=True)
    decoded = rnn(embed(target), initial_state=[h, c], mask=custom.PadMask()(target))
    return compiled(keras.Model((source, target), classify(decoded)))


@animal("seq2seq", (SOURCE, TARGET), realistic=True, target_feeds=TARGET_TAGS, outputs=(TARGET,), problem="P01")
def seq2seq_padded_after() -> Any:
    """The decoder ignores its mask, which does no harm: its padding comes last, and the mask goes on to the loss."""
    source, target = token_ids("source"), token_ids("target")
    _, h, c = layers.LSTM(U, return_state=True)(embed(source))
    decoded = layers.LSTM(U, return_sequences=True)(embed(target), initial_state=[h, c])
    return compiled(keras.Model((source, target), classify(decoded)))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P33")
def last_step_of_masked_lstm() -> Any:
    """`x[:, -1]` of a masked LSTM: it repeats its last output, so this is that of the last valid step."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U, return_sequences=True)(embed(ids))[:, -1])


@animal("classifier", Feed("ids", side="left"), target_feeds=LABEL, options={"padding_side": "pre"}, problem="P13")
def masked_gru_padded_before() -> Any:
    """Padding before the tokens, with a mask."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(embed(ids)))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P13")
def backwards_with_mask() -> Any:
    """`go_backwards` with a mask."""
    ids = token_ids()
    return classifier(ids, layers.SimpleRNN(U, go_backwards=True)(embed(ids)))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P04")
def flipped_with_its_mask() -> Any:
    """Tokens are flipped before they are embedded, so that the mask is made of what the LSTM reads."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(embed(ops.flip(ids, axis=1))))


@animal("forecast", STEPS, target_feeds=LABEL, fixed_batch=True, problem="P13")
def stateful_with_mask() -> Any:
    """A stateful GRU after Masking carries on the state of the last valid step."""
    x = keras.Input(batch_shape=(3, None, F))
    return compiled(keras.Model(x, classify(layers.GRU(U, stateful=True)(layers.Masking(0.0)(x)))))


@animal("classifier", TOKENS, target_feeds=LABEL)
def two_cells_with_mask() -> Any:
    """`RNN` of stacked cells."""
    ids = token_ids()
    return classifier(ids, layers.RNN([layers.GRUCell(U), layers.SimpleRNNCell(U)])(embed(ids)))


@animal("hierarchical", DOCUMENTS, target_feeds=LABEL, realistic=True, problem="P10")
def sentences_and_words_masked() -> Any:
    """Each sentence masks its words; the GRU over sentences gets a mask of the sentences."""
    ids = keras.Input((None, None), dtype="int32")
    sentences = layers.TimeDistributed(sentence_encoder())(ids)
    is_sentence = ops.any(ops.not_equal(ids, 0), axis=2)
    return compiled(keras.Model(ids, classify(layers.GRU(U)(custom.Attach()([sentences, is_sentence])))))


@animal(
    "autoencoder",
    STEPS,
    realistic=True,
    fixed_length=True,
    target_feeds=Feed("steps", free=True),
    outputs=(STEPS,),
    problem="P16",
)
def lstm_autoencoder_with_mask_again() -> Any:
    """The mask of the input is attached to the repeated code: only valid steps count in the loss."""
    x = floats(length=TOTAL)
    code = layers.LSTM(U)(layers.Masking(0.0)(x))
    mask = ops.any(ops.not_equal(x, 0.0), axis=-1)
    repeated = custom.Attach()([layers.RepeatVector(TOTAL)(code), mask])
    steps = layers.Dense(F)(layers.LSTM(U, return_sequences=True)(repeated))
    return compiled(keras.Model(x, steps), "mse", metrics=["mae"])


@animal("nested", TOKENS, realistic=True, problem="P13", **TAGGED)
def nested_encoder() -> Any:
    """The encoder is a model within the model, and its output's mask goes on."""
    inner = token_ids()
    encoder = keras.Model(inner, layers.LSTM(U, return_sequences=True)(embed(inner)), name="encoder")
    ids = token_ids()
    return tagger(ids, encoder(ids))
