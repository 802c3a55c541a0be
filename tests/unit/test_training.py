"""Trainings start anew each time, and the tagging task has the best answer that counting gives."""

import numpy as np
import pytest

from masklib import compat
from masklib.errors import ArgumentError
from masklib.experiments import data, measure, models, tagging, training

LENGTHS, STEPS, FEATURES, CLASSES = [2, 5, 3], 5, 2, 3


def sequences(steps: int, padding: str) -> np.ndarray:
    """Three sequences in a batch of so many steps, the same ones for every length and side of the padding."""
    mask = data.padded_mask(LENGTHS, steps, padding)
    x = np.zeros((*mask.shape, FEATURES), "float32")
    x[mask] = np.random.default_rng(3).normal(size=(sum(LENGTHS), FEATURES))
    return x


@pytest.mark.parametrize("reader", training.READERS)
def test_under_the_mask_padding_changes_no_prediction_and_without_it_does(reader: str):
    outputs = {}
    for masked in (True, False):
        model = models.draw_weights(training.classifier(reader, (None, FEATURES), 4, CLASSES, masked=masked), 0)
        shapes = ((STEPS, "post"), (STEPS + 3, "post"), (STEPS, "pre"))
        outputs[masked] = [measure.predict(model, sequences(steps, padding)) for steps, padding in shapes]
    assert max(measure.largest(one - outputs[True][0]) for one in outputs[True]) < 1e-5
    assert measure.largest(outputs[False][1] - outputs[False][0]) > 1e-3


def test_an_unknown_layer_is_refused():
    with pytest.raises(ArgumentError, match="reader must be one of 'lstm', 'gru'"):
        training.classifier("transformer", (5, 2), 4, 3, masked=True)


def small() -> training.Trainer:
    return training.Trainer(training.classifier("pooling", (STEPS, FEATURES), 4, CLASSES, masked=True), batch_size=2, epochs=3)


def test_a_training_starts_anew_whatever_was_trained_before():
    trainer, x, y = small(), sequences(STEPS, "post"), np.array([0, 1, 2])
    start = trainer.model.get_weights()
    trainer.train(start, x, y, 0)
    first = trainer.model.get_weights()
    trainer.train(start, x, y, 1)  # another order, and momentum of its own
    other = trainer.model.get_weights()
    trainer.train(start, x, y, 0)
    for one, again in zip(first, trainer.model.get_weights(), strict=True):
        np.testing.assert_allclose(again, one, atol=1e-7)
    assert any(np.abs(one - another).max() > 1e-5 for one, another in zip(first, other, strict=True))


def test_a_training_that_keeps_its_optimizer_would_be_seen():
    trainer, x, y = small(), sequences(STEPS, "post"), np.array([0, 1, 2])
    start = trainer.model.get_weights()
    trainer.train(start, x, y, 0)
    first = trainer.model.get_weights()
    trainer._fresh = [compat.to_numpy(one) for one in trainer.optimizer.variables]  # known wrong: goes on from there
    trainer.train(start, x, y, 0)
    assert any(np.abs(one - again).max() > 1e-5 for one, again in zip(first, trainer.model.get_weights(), strict=True))


def test_batches_that_are_not_mixed_keep_their_samples():
    rng, trainer = np.random.default_rng(0), small()
    kept = {tuple(batch) for _ in range(5) for batch in trainer._batches(rng, 6, mix=False)}
    mixed = {tuple(sorted(batch)) for _ in range(5) for batch in trainer._batches(rng, 6, mix=True)}
    assert kept == {(0, 1), (2, 3), (4, 5)}
    assert len(mixed) > 3


def test_weights_are_those_of_the_seed():
    def build():
        return training.classifier("lstm", (STEPS, FEATURES), 4, CLASSES, masked=True)

    first, again, other = (training.drawn_weights(build, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_the_operator_drops_the_mask_and_the_layer_keeps_it():
    seen = {}
    for by_layer in (True, False):
        model = training.residual_classifier((None, FEATURES), 4, CLASSES, by_layer=by_layer)
        models.draw_weights(model, 0)
        short, longer = (measure.predict(model, sequences(steps, "post")) for steps in (STEPS, STEPS + 3))
        seen[by_layer] = measure.largest(longer - short)
    assert seen[True] < 1e-5
    assert seen[False] > 1e-3


def test_half_of_the_sentences_are_short_and_padding_has_neither_word_nor_tag():
    drawn = tagging.draw(0, 40, 5)
    lengths = drawn.mask.sum(axis=1)
    assert (lengths[:20] <= tagging.SHORT[1]).all()
    assert (lengths[20:] >= tagging.LONG[0]).all()
    assert not drawn.ids[~drawn.mask].any()
    assert not drawn.tags[~drawn.mask].any()
    assert drawn.ids[drawn.mask].min() == 1
    np.testing.assert_array_equal(np.sort(tagging.shuffled(drawn, 0).mask.sum(axis=1)), np.sort(lengths))


def test_the_expected_share_is_that_of_counts_by_hand():
    mask = data.padded_mask([1, 1, 4, 4], 4)
    tags = np.where(mask, np.array([[1], [1], [0], [0]]), 0)
    sentences = tagging.Sentences(mask.astype(int), tags, mask)
    assert tagging.expected_share(sentences, 2, "valid steps") == 0.5  # each batch counts the same
    assert tagging.expected_share(sentences, 2, "all steps") == 0.2  # each valid step counts the same
    assert tagging.expected_share(sentences, 4, "valid steps") == 0.2  # of one batch, both are the share among valid steps
    with pytest.raises(ArgumentError, match="divisor must be one of 'valid steps', 'all steps'"):
        tagging.expected_share(sentences, 2, "batches")
