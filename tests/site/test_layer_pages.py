"""The pages of layers: what to write instead is right, and is chosen by what was measured."""

import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from masklib.site import layer_pages

CODED = [kind for kind, remedy in layer_pages.remedies().items() if "code" in remedy]
IDS = np.array([[3, 5, 7, 0, 0], [4, 6, 8, 2, 1]])


@pytest.mark.parametrize("kind", CODED)
def test_what_to_write_instead_does_not_change_with_padding(kind: str, monkeypatch: pytest.MonkeyPatch):
    namespace: dict[str, Any] = {"keras": keras, "layers": layers, "ops": ops, "__name__": "remedies"}
    monkeypatch.setitem(sys.modules, "remedies", sys.modules[__name__])
    exec(layer_pages.remedies()[kind]["code"], namespace)
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
        ("kept", "no", "no", "other", "misfit"),
        ("gone", "no", "", "as if valid", "dropped"),
        ("gone", "yes", "", "as if valid", "mixed"),
        ("gone", "unless padding comes last", "", "as if valid", "mixed"),
        ("gone", "yes", "", "", "pooled"),
        ("gone", "no", "", "", ""),
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
