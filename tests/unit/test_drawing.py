"""The drawing of a trace shows every call, every path of a tensor, and whether a mask goes along it."""

import itertools

import keras
import matplotlib as mpl
import numpy as np
import pytest
from keras import layers

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from masklib.auditing.tracing.drawing import STYLES, plot_calls
from masklib.auditing.tracing.layout import GIVEN, LOST, MASKED, PLAIN, lay_out
from masklib.auditing.tracing.outcomes import OUTCOMES
from masklib.auditing.tracing.trace import trace
from tests.unit.mask_models import IDS, F, Own, OwnLayer, T, after_embedding, attention_then, embed, inputs, residual


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def transformer(n_blocks):
    """A functional transformer with 7 calls per block."""
    following = []
    for k in range(n_blocks):
        following += [
            lambda x, k=k: layers.Add(name=f"add_{k}")([x, layers.MultiHeadAttention(1, 2, name=f"attention_{k}")(x, x)]),
            layers.LayerNormalization(name=f"norm_{k}"),
            lambda x, k=k: layers.Add(name=f"sum_{k}")([x, layers.Dense(F, name=f"out_{k}")(layers.Dense(8, name=f"in_{k}")(x))]),
            layers.LayerNormalization(name=f"end_{k}"),
        ]
    return after_embedding(*following)


def states(model, x=IDS):
    """The state of each edge by the names of the rows that it joins."""
    drawing = lay_out(trace(model, x).calls)
    return {(drawing.rows[edge.source].name, drawing.rows[edge.target].name): edge.state for edge in drawing.edges}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_paths_of_a_mask_that_attention_removes():
    assert states(attention_then(layers.GlobalAveragePooling1D(name="mean"))) == {
        ("input: ids", "embedding"): PLAIN,
        ("embedding", "attention"): MASKED,
        ("embedding", "add"): LOST,  # attention removed it from its input
        ("attention", "add"): MASKED,
        ("add", "mean"): GIVEN,  # by the graph
    }


def test_the_paths_around_an_initial_state():
    source, target = inputs("source"), inputs("target")
    x = embed("source_words")(source)
    state = layers.GRU(3, name="encoder")(x)
    y = layers.GRU(3, return_sequences=True, name="decoder")(embed("target_words")(target), initial_state=state)
    assert states(keras.Model([source, target], layers.Dense(2, name="tags")(y)), [IDS, IDS]) == {
        ("input: source", "source_words"): PLAIN,
        ("input: target", "target_words"): PLAIN,
        ("source_words", "encoder"): MASKED,
        ("encoder", "decoder"): PLAIN,
        ("target_words", "decoder"): MASKED,
        ("decoder", "tags"): MASKED,
    }


def test_a_lost_mask_is_shown_on_the_edges_after_the_call():
    model = Own(lambda self, ids: self.last(self.first(self.embedding(ids) + 1.0)), first=layers.Dense(2), last=layers.Dense(2))
    found = list(states(model).values())
    assert found == [PLAIN, MASKED, LOST, PLAIN]


def test_a_layer_that_passes_its_own_mask_on_ends_in_a_row():
    parts = {"dense": layers.Dense(F, name="dense"), "norm": layers.LayerNormalization(name="norm")}
    model = after_embedding(OwnLayer(residual, "block", True, **parts), layers.LSTM(3, name="lstm"))
    found = states(model)
    assert found["norm", "returned by block"] == MASKED
    assert found["returned by block", "lstm"] == MASKED


def test_every_call_is_a_row_and_lanes_do_not_meet():
    found = trace(transformer(12), IDS)
    drawing = lay_out(found.calls)
    assert [row.call for row in drawing.rows if row.kind == "call"] == found.calls
    assert len(found.calls) == 1 + 12 * 7
    ends = {start: max(edge.target for edge in drawing.edges if edge.source == start) for start in drawing.lanes}
    for one, other in itertools.combinations(drawing.lanes, 2):
        assert drawing.lanes[one] != drawing.lanes[other] or ends[one] < other or ends[other] < one
    long = {edge.source for edge in drawing.edges if edge.target > edge.source + 1}
    assert long == set(drawing.lanes)


def test_many_calls_are_wrapped_and_none_is_left_out():
    small, large = trace(transformer(1), IDS).plot(), trace(transformer(12), IDS).plot()
    names = {f"{name}_{k}" for k in range(12) for name in ("add", "attention", "norm", "sum", "in", "out", "end")}
    assert names <= set(texts(large))
    sizes = [ax.figure.get_size_inches() for ax in (small, large)]
    assert sizes[1][0] > 2 * sizes[0][0]
    assert 8 < sizes[1][1] < 16
    assert [ax.get_xlim()[1] / ax.figure.get_size_inches()[0] for ax in (small, large)] == [1, 1]  # 1 unit is an inch


def test_no_text_leaves_the_paper_or_meets_another():
    for model in (
        transformer(3),
        after_embedding(layers.LSTM(3, return_sequences=True, name="a_very_" + "long_" * 12 + "name")),
    ):
        ax = trace(model, IDS).plot()
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
        width, height = ax.figure.canvas.get_width_height()
        assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)
        assert not [1 for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]


def test_names_are_text_never_markup():
    ax = trace(after_embedding(layers.Dense(2, name="costs_$5_and_$6"), layers.Dense(2, name="$\\frac{")), IDS).plot()
    assert {"costs_$5_and_$6", "$\\frac{"} <= set(texts(ax))
    assert not any(text.get_parse_math() for text in ax.texts)
    ax.figure.canvas.draw()


def test_it_draws_on_given_axes():
    _, ax = plt.subplots()
    assert trace(after_embedding(layers.LSTM(2)), IDS).plot(ax=ax) is ax


def test_every_outcome_has_its_own_symbol():
    assert set(STYLES) == set(OUTCOMES)
    assert len({sign for sign, _ in STYLES.values()}) == len(STYLES)


def test_the_legend_explains_what_is_drawn_and_nothing_else():
    written = texts(trace(after_embedding(layers.LSTM(2, name="lstm")), IDS).plot())
    assert {"made", "consumed", "line: a mask is attached", "line: no mask"} <= set(written)
    assert "kept" not in written
    assert f"line: {LOST}" not in written


def test_a_model_without_calls_is_drawn():
    assert isinstance(plot_calls([], [], "nothing"), Axes)


def test_time_distributed_holds_the_model_of_a_step():
    words = keras.Input((T,), dtype="int32")
    encoder = keras.Model(words, layers.LSTM(3, name="lstm")(embed()(words)), name="encoder")
    documents = keras.Input((2, T), dtype="int32", name="documents")
    model = keras.Model(documents, layers.LSTM(2, name="over")(layers.TimeDistributed(encoder, name="each")(documents)))
    drawing = lay_out(trace(model, np.stack([IDS, IDS], axis=1)).calls)
    assert [(row.name, row.kind, row.depth) for row in drawing.rows] == [
        ("input: documents", "input", 0),
        ("each", "holder", 0),
        ("embedding", "call", 1),
        ("lstm", "call", 1),
        ("returned by each", "end", 1),
        ("over", "call", 0),
    ]
