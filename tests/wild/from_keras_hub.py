"""Models of keras-hub, small and without pretrained weights."""

import importlib
from typing import Any

import keras
import numpy as np
from keras import layers

from tests.wild import parts
from tests.wild.layers import MeanOfWords
from tests.wild.parts import LENGTHS, OTHERS, STEPS, compiled, ids, labels, valid
from tests.wild.specimens import Batch, Padded, specimen

SPARSE = "sparse_categorical_crossentropy"
LOGITS = keras.losses.SparseCategoricalCrossentropy
SIZES: dict[str, Any] = {"vocabulary_size": 20, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
TARGET = Padded(axes={1: "target"})


def hub() -> Any:
    """Return the package."""
    return importlib.import_module("keras_hub")


def masked_ids(*, segments: bool = False) -> dict[str, Any]:
    """Return the inputs of an encoder."""
    inputs = {"token_ids": ids(), "padding_mask": valid(dtype="int32")}
    return {**inputs, "segment_ids": parts.pad([(np.arange(n) > 2).astype("int32") for n in LENGTHS])} if segments else inputs


def of_encoder(*, segments: bool = False, **facts: Any) -> Any:
    """Return the facts of a classifier of texts."""
    names = ("token_ids", "padding_mask", *(("segment_ids",) if segments else ()))
    basics = {"feed": lambda: Batch(masked_ids(segments=segments), labels()), "lengths": {"steps": LENGTHS}}
    return {**basics, "x": dict.fromkeys(names, STEPS), "package": "keras_hub", **facts}


def of_causal(weighted: bool = True) -> Any:
    """Return the facts of a causal language model."""
    feed = lambda: Batch(masked_ids(), ids("next"), valid(dtype="float32") if weighted else None)  # noqa: E731
    lengths = {"steps": LENGTHS}
    basics = {"feed": feed, "lengths": lengths, "x": {"token_ids": STEPS, "padding_mask": STEPS}, "y": STEPS}
    return {**basics, "weights": STEPS if weighted else None, "outputs": (STEPS,), "package": "keras_hub"}


def classified(task: Any) -> Any:
    """Return a task compiled as the others are."""
    return compiled(task, LOGITS(from_logits=True), ["accuracy"])


PLACES = Padded(axes={1: "places"})  # of the words to guess, by keras-hub's generator padded with 0


@specimen("text classification", "keras-hub", **of_encoder(segments=True))
def hub_bert_classifier() -> Any:
    """BERT, whose first token says what the text is."""
    backbone = hub().models.BertBackbone(**SIZES, max_sequence_length=24)
    return classified(hub().models.BertTextClassifier(backbone, num_classes=3))


@specimen("text classification", "keras-hub", **of_encoder())
def hub_deberta_classifier() -> Any:
    """DeBERTa with relative positions."""
    backbone = hub().models.DebertaV3Backbone(**SIZES, max_sequence_length=24, bucket_size=8)
    return classified(hub().models.DebertaV3TextClassifier(backbone, num_classes=3))


@specimen("text classification", "keras-hub", **of_encoder())
def hub_roberta_classifier() -> Any:
    """RoBERTa."""
    backbone = hub().models.RobertaBackbone(**SIZES, max_sequence_length=24)
    return classified(hub().models.RobertaTextClassifier(backbone, num_classes=3))


@specimen("text classification", "keras-hub", **of_encoder(segments=True))
def hub_albert_classifier() -> Any:
    """ALBERT, one layer several times."""
    backbone = hub().models.AlbertBackbone(**SIZES, embedding_dim=6, max_sequence_length=24)
    return classified(hub().models.AlbertTextClassifier(backbone, num_classes=3))


@specimen(
    "text classification",
    "keras-hub",
    feed=lambda: Batch({"token_ids": ids(), "segment_ids": np.zeros_like(ids())}, labels()),
    lengths={"steps": LENGTHS},
    x={"token_ids": STEPS, "segment_ids": STEPS},
    package="keras_hub",
)
def hub_fnet_classifier() -> Any:
    """FNet mixes by Fourier transforms and takes no mask."""
    sizes = {name: value for name, value in SIZES.items() if name != "num_heads"}
    backbone = hub().models.FNetBackbone(**sizes, max_sequence_length=24)
    return classified(hub().models.FNetTextClassifier(backbone, num_classes=3))


@specimen(
    "masked language model",
    "keras-hub",
    feed=lambda: Batch(
        {**masked_ids(), "mask_positions": np.array([[0, 2], [1, 0], [1, 3], [2, 0]], dtype="int32")},
        np.array([[3, 4], [5, 0], [7, 8], [9, 0]], dtype="int32"),
        np.array([[1, 1], [1, 0], [1, 1], [1, 0]], dtype="float32"),
    ),
    lengths={"steps": LENGTHS, "places": (2, 1, 2, 1)},
    x={"token_ids": STEPS, "padding_mask": STEPS, "mask_positions": PLACES},
    y=PLACES,
    weights=PLACES,
    outputs=(PLACES,),
    package="keras_hub",
)
def hub_distil_bert_masked_lm() -> Any:
    """Words to guess at given positions."""
    backbone = hub().models.DistilBertBackbone(**SIZES, max_sequence_length=24)
    model = hub().models.DistilBertMaskedLM(backbone)
    return compiled(model, LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen("language model", "keras-hub", **of_causal())
def hub_gpt2() -> Any:
    """GPT-2, padding weighs 0 as its preprocessor says."""
    backbone = hub().models.GPT2Backbone(**SIZES, max_sequence_length=24)
    return compiled(hub().models.GPT2CausalLM(backbone), LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen("language model", "keras-hub", **of_causal(weighted=False))
def hub_gpt2_without_weights() -> Any:
    """GPT-2 without the weights."""
    backbone = hub().models.GPT2Backbone(**SIZES, max_sequence_length=24)
    return compiled(hub().models.GPT2CausalLM(backbone), LOGITS(from_logits=True))


@specimen("language model", "keras-hub", **of_causal())
def hub_gemma() -> Any:
    """Gemma: rotary positions, one key-value head."""
    backbone = hub().models.GemmaBackbone(
        vocabulary_size=20, num_layers=2, num_query_heads=2, num_key_value_heads=1, head_dim=4, hidden_dim=8, intermediate_dim=16
    )
    return compiled(hub().models.GemmaCausalLM(backbone), LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen("language model", "keras-hub", **of_causal())
def hub_mistral() -> Any:
    """Mistral: attention within a window."""
    backbone = hub().models.MistralBackbone(
        vocabulary_size=20,
        num_layers=2,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=8,
        intermediate_dim=16,
        sliding_window=4,
    )
    return compiled(hub().models.MistralCausalLM(backbone), LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen("language model", "keras-hub", **of_causal())
def hub_bloom() -> Any:
    """BLOOM: distances as biases."""
    backbone = hub().models.BloomBackbone(**SIZES)
    return compiled(hub().models.BloomCausalLM(backbone), LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen(
    "translation",
    "keras-hub",
    feed=lambda: Batch(
        {
            "encoder_token_ids": ids("source"),
            "encoder_padding_mask": valid(dtype="int32"),
            "decoder_token_ids": ids("target", OTHERS),
            "decoder_padding_mask": valid(OTHERS, dtype="int32"),
        },
        ids("next", OTHERS),
        valid(OTHERS, dtype="float32"),
    ),
    lengths={"steps": LENGTHS, "target": OTHERS},
    x={
        "encoder_token_ids": STEPS,
        "encoder_padding_mask": STEPS,
        "decoder_token_ids": TARGET,
        "decoder_padding_mask": TARGET,
    },
    y=TARGET,
    weights=TARGET,
    outputs=(TARGET,),
    package="keras_hub",
)
def hub_bart() -> Any:
    """BART from text to text."""
    backbone = hub().models.BartBackbone(**SIZES, max_sequence_length=24)
    return compiled(hub().models.BartSeq2SeqLM(backbone), LOGITS(from_logits=True), weighted_metrics=["accuracy"])


@specimen(
    "translation",
    "https://keras.io/examples/nlp/neural_machine_translation_with_keras_hub/",
    feed=lambda: Batch((ids("source"), ids("target", OTHERS)), ids("next", OTHERS)),
    lengths={"steps": LENGTHS, "target": OTHERS},
    x=(STEPS, TARGET),
    y=TARGET,
    outputs=(TARGET,),
    package="keras_hub",
)
def hub_layers_translation() -> Any:
    """The blocks of keras-hub put together by hand, masks implicit; without mask_zero, as in the example."""
    library = hub().layers
    source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    x = library.TokenAndPositionEmbedding(vocabulary_size=20, sequence_length=24, embedding_dim=8)(source)
    encoded = library.TransformerEncoder(intermediate_dim=16, num_heads=2)(x)
    x = library.TokenAndPositionEmbedding(vocabulary_size=20, sequence_length=24, embedding_dim=8)(target)
    x = library.TransformerDecoder(intermediate_dim=16, num_heads=2)(x, encoded)
    outputs = layers.Dense(20, activation="softmax")(layers.Dropout(0.5)(x))
    return compiled(keras.Model((source, target), outputs), SPARSE, ["accuracy"])


@specimen(
    "text classification",
    "https://keras.io/guides/keras_hub/transformer_pretraining/",
    feed=lambda: Batch(ids(), labels()),
    lengths={"steps": LENGTHS},
    x=STEPS,
    package="keras_hub",
)
def hub_layers_with_mask() -> Any:
    """The blocks of keras-hub under mask_zero, and a mean under the mask."""
    library = hub().layers
    tokens = keras.Input((None,), dtype="int32")
    x = library.TokenAndPositionEmbedding(20, 24, 8, mask_zero=True)(tokens)
    for _ in range(2):
        x = library.TransformerEncoder(intermediate_dim=16, num_heads=2)(x)
    return compiled(keras.Model(tokens, layers.Dense(3, activation="softmax")(MeanOfWords()(x))), SPARSE, ["accuracy"])


@specimen(
    "tagging",
    "keras-hub",
    feed=lambda: Batch(ids(), ids("tags", low=1, high=5)),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    outputs=(STEPS,),
    package="keras_hub",
)
def hub_fnet_tagger() -> Any:
    """Fourier mixing over words under a mask."""
    library = hub().layers
    tokens = keras.Input((None,), dtype="int32")
    x = library.TokenAndPositionEmbedding(20, 24, 8, mask_zero=True)(tokens)
    x = library.FNetEncoder(intermediate_dim=16)(x)
    return compiled(keras.Model(tokens, layers.Dense(5, activation="softmax")(x)), SPARSE)
