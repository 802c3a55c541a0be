"""Every code of the catalogue is found in a model that has the fault, and not in the same model corrected."""

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from masklib.auditing.report.catalogue import CODES, SEVERITIES, source_of

pytestmark = pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")  # the models provoke the warning on purpose


@pytest.fixture
def audit(keras: ModuleType) -> Any:
    from masklib.auditing.report.report import audit

    keras.utils.set_random_seed(0)
    return audit


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_a_fault_is_found_and_the_remedy_removes_it(audit: Any, code: str):
    from masklib.auditing.report.examples import BACKENDS, OPTIONS, pair

    if BACKENDS.get(code, "tensorflow") != "tensorflow":
        pytest.skip("it is tested on its backend below")
    failing, remedied = (audit(build(), **OPTIONS.get(code, {})) for build in pair(code))

    found = [finding for finding in failing.findings if finding.code == code]
    assert found, str(failing)
    assert found[0].severity == CODES[code].severity
    assert found[0].evidence
    assert code not in {finding.code for finding in remedied.findings}, str(remedied)
    assert remedied.verdict == "no leak found", str(remedied)


ON_ITS_BACKEND = """
import sys
from masklib.auditing.report.examples import pair
from masklib.auditing.report.report import audit
failing, remedied = (audit(build()) for build in pair(sys.argv[1]))
assert sys.argv[1] in {one.code for one in failing.findings}, str(failing)
assert sys.argv[1] not in {one.code for one in remedied.findings}, str(remedied)
assert remedied.verdict == "no leak found", str(remedied)
"""


@pytest.mark.slow
def test_a_fault_of_one_backend_is_found_there():
    from masklib.auditing.report.examples import BACKENDS

    for code, backend in BACKENDS.items():
        environment = os.environ | {"KERAS_BACKEND": backend}
        command = [sys.executable, "-W", "ignore", "-c", ON_ITS_BACKEND, code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", CODES)
def test_a_code_says_all_that_a_user_needs(code: str):
    told = CODES[code]
    assert told.severity in SEVERITIES
    assert "{where}" in told.title
    failing, remedied = source_of(code)
    assert f"def {code.lower()}_failing" in failing
    assert f"def {code.lower()}_remedied" in remedied
    assert failing != remedied
    assert "{" not in told.general


def test_a_source_holds_the_layers_that_it_uses():
    failing, remedied = source_of("MSK107")
    assert failing.startswith("class MeanOverAll")
    assert remedied.startswith("class MeanOverValid")
    assert "MeanOverAll" not in remedied


def test_a_fault_is_found_at_the_layer_that_has_it(audit: Any, keras: ModuleType):
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="words")(ids)
    x = layers.LSTM(8, return_sequences=True, name="reader")(x)
    x = layers.Conv1D(8, 3, padding="same", name="window")(x)
    model = keras.Model(ids, layers.Dense(1, name="score")(layers.GlobalAveragePooling1D(name="mean")(x)))

    (finding,) = [finding for finding in audit(model).findings if finding.severity == "leak"]

    assert (finding.code, finding.where) == ("MSK101", "'window'")
    assert finding.relative > 1e-3
    assert any("output 'score'" in sentence for sentence in finding.evidence)


def test_the_evidence_is_true(audit: Any, keras: ModuleType):
    """The reported sizes are what predictions on the inputs of the audit show."""
    from masklib.auditing.report.examples import pair

    model = pair("MSK106")[0]()
    report = audit(model)
    ids = np.asarray(report.check.inputs)
    alone = np.concatenate([np.asarray(model(row[row != 0][np.newaxis])) for row in ids])
    largest = np.abs(np.asarray(model(ids)) - alone).max()

    (leak,) = [leak for leak in report.check.leaks if leak.change == "no padding"]

    assert leak.size == pytest.approx(largest, rel=1e-3)
