"""The pages of layers: what to write instead is right, and is chosen by what was measured."""

import re
import sys
from pathlib import Path
from typing import Any

import keras
import nbformat
import numpy as np
import pandas as pd
import pytest
from keras import layers

import masklib
from masklib.engine.store import Store
from masklib.site import layer_pages
from masklib.site.survey import survey
from masklib.site.writing import Writer
from tests.site.made import publish, record

CODED = [(kind, layer) for kind, remedy in layer_pages.remedies().items() for layer in remedy.get("calls", {})]
IDS = np.array([[3, 5, 7, 0, 0], [4, 6, 8, 2, 1]])


@pytest.mark.parametrize(("kind", "layer"), CODED)
def test_what_to_write_instead_does_not_change_with_padding(kind: str, layer: str, monkeypatch: pytest.MonkeyPatch):
    namespace: dict[str, Any] = {"__name__": "remedies"}
    monkeypatch.setitem(sys.modules, "remedies", sys.modules[__name__])
    exec(layer_pages.code_of(kind, layer), namespace)
    check = masklib.check_padding(namespace["model"], IDS)
    assert [str(leak) for leak in check.leaks] == []
    assert {passed.change for passed in check.passed} >= {"longer padding", "no padding"}


def test_the_check_of_the_remedies_can_fail():
    ids = keras.Input((None,), dtype="int32")
    leaking = keras.Model(ids, layers.GlobalMaxPooling1D()(layers.Embedding(9, 8)(ids)))
    assert masklib.check_padding(leaking, IDS).leaks


@pytest.mark.parametrize(
    ("mask", "mixes", "fits", "steps", "kind"),
    [
        ("kept", "no", "yes", "as if valid", "kept"),
        ("kept", "yes", "yes", "as if valid", "leaks"),
        ("kept", "unless padding comes last", "yes", "as if valid", "leaks"),
        ("kept", "", "", "", ""),
        ("kept", "no", "no", "other", "misfit"),
        ("gone", "no", "", "as if valid", "dropped"),
        ("gone", "yes", "", "as if valid", "mixed"),
        ("gone", "unless padding comes last", "", "as if valid", "mixed"),
        ("gone", "yes", "", "", "pooled"),
        ("gone", "no", "", "", "moved"),
        ("none", "", "", "", "none"),
        ("used and ended", "no", "", "", "ended"),
        ("made", "", "", "", "made"),
        ("error", "", "", "", "error"),
        ("takes no sequence", "", "", "", ""),
    ],
)
def test_a_remedy_is_chosen_by_what_was_measured(mask: str, mixes: str, fits: str, steps: str, kind: str):
    row = {"mask": mask, "mixes padding in": mixes, "mask fits": fits, "at masked steps": steps}
    assert layer_pages.remedy_of(row) == kind
    assert kind == "" or kind in layer_pages.remedies()


def test_a_layer_gets_the_code_that_was_tried_for_it_alone():
    assert "layers.GRU(4" in layer_pages.code_of("misfit", "GRU")
    assert layer_pages.code_of("pooled", "AveragePooling1D") == ""
    assert layer_pages.code_of("error", "TimeDistributed") == ""


def test_a_layer_has_a_page_with_what_was_measured_and_what_to_write(tmp_path: Path):
    row = dict.fromkeys(["layer", *layer_pages.QUESTIONS, "setting", "why"], "")
    rows = [
        row | {"layer": "Conv1D", "mask": "gone", "mixes padding in": "yes", "at masked steps": "as if valid"},
        row
        | {
            "layer": "Conv1D",
            "setting": "padding='causal'",
            "mask": "gone",
            "mixes padding in": "no",
            "at masked steps": "as if valid",
            "why": "<b>It</b> says why.",
        },
        row | {"layer": "Layer", "mask": "not measured", "why": "the base class"},
        row | {"layer": "AugMix", "mask": "takes no sequence", "why": "takes pictures"},
        row | {"layer": "Activation", "mask": "kept", "mixes padding in": "no"},
    ]
    folder = tmp_path / "runs" / layer_pages.NOTEBOOK / ("a" * 64)
    (folder / "tables").mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "tables" / "layers.parquet")
    nbformat.write(nbformat.v4.new_notebook(), folder / "notebook.ipynb")
    publish(
        tmp_path / "runs",
        record(layer_pages.NOTEBOOK, "a" * 64),
        [{"kind": "table", "name": "layers", "rows": 5, "columns": list(row)}],
    )

    pages = layer_pages.write_layers(survey(Store(tmp_path / "runs")), Writer(tmp_path / "source"))

    assert pages == ["layers"]
    page = (tmp_path / "source" / "layers" / "Conv1D.md").read_text()
    assert "**As it is.** It drops the mask and mixes padded steps into valid ones" in page
    assert 'x = layers.Conv1D(8, 3, padding="same")(x)' in page
    assert "**`padding='causal'`.** It drops the mask" in page
    assert page.count("```python") == 1  # nothing was tried for the other setting
    assert "from keras import layers, ops" in page
    fragment = (tmp_path / "source" / "layers" / "fragments" / "Conv1D.html").read_text()
    assert "padding=&#39;causal&#39;" in fragment
    assert "&lt;b&gt;It&lt;/b&gt; says why." in fragment
    assert "Keras 3.15.1 with the TensorFlow backend" in fragment
    assert "the base class" in (tmp_path / "source" / "layers" / "fragments" / "Layer.html").read_text()
    listed = (tmp_path / "source" / "fragments" / "layers.html").read_text()
    assert re.findall('href="layers/(.*?).html"', listed) == ["Conv1D", "Activation", "Layer", "AugMix"]


def test_without_the_atlas_there_are_no_pages_of_layers(tmp_path: Path):
    publish(tmp_path / "runs", record("01_other", "a" * 64), [])
    assert layer_pages.write_layers(survey(Store(tmp_path / "runs")), Writer(tmp_path / "source")) == []
