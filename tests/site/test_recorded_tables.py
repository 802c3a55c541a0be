"""Recorded tables on pages: what tells rows apart first, numbers rounded to what they mean, no index, whole."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from masklib.claims.tables import recorded
from masklib.engine.record import read_record
from masklib.site.experiments import Recorded
from masklib.site.recorded_tables import arrange, has_plain_index, key_columns, tables_by_name
from masklib.site.rows import rounded
from masklib.site.single import to_html
from masklib.site.survey import Experiment
from masklib.site.writing import Writer
from tests.site.made import EVIL, publish, record


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.2e-8, "< 1e-6"),
        (-3.2e-8, "> -1e-6"),
        (0.0, "0"),
        (1 / 3, "0.3333"),
        (2e-6, "2e-06"),
        (12345.678, "12346"),
        (1.5e12, "1.5e+12"),
        (float("nan"), ""),
        (123456789, "123456789"),
        ("a", "a"),
    ],
)
def test_a_measured_number_is_rounded_to_what_it_means(value: object, shown: str):
    assert rounded(value) == shown


def test_the_columns_that_tell_rows_apart_come_first():
    same, error = [7] * 4, [0.1, 0.2, 0.3, 0.4]
    frame = pd.DataFrame(
        {"same": same, "error": error, "cell": ["a", "a", "b", "b"], "mask": [True, False] * 2, "late": list("wxyz")}
    )
    table = arrange(frame.drop(columns="late"))

    assert table.heads == ["cell", "mask", "same", "error"]
    assert table.keys == 2
    assert table.rows[1] == ["a", "False", "7", "0.2"]
    assert key_columns(frame) == ["cell", "mask"]
    assert key_columns(frame[["same", "late"]]) == ["late"]
    assert key_columns(frame[["same", "error"]]) == []
    assert key_columns(frame.iloc[:0]) == []
    assert key_columns(pd.concat([frame, frame], axis=1)) == []


def test_an_index_that_says_something_is_kept():
    frame = pd.DataFrame({"x": range(90)})

    assert has_plain_index(frame.to_html(max_rows=10))
    assert not has_plain_index(frame.rename(index={3: "three"}).to_html())


def shown_run(folder: Path, frame: pd.DataFrame, options: int = 10) -> Path:
    """Publish a run that recorded a table and showed a part of it; return its folder."""
    run = folder / "mine" / ("a" * 64)
    (run / "tables").mkdir(parents=True)
    frame.to_parquet(run / "tables" / "t.parquet", index=False)
    with pd.option_context("display.max_rows", options):
        data, metadata = recorded(frame, "t")._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("t", outputs=[output])]), run / "notebook.ipynb")
    return publish(folder, record("mine", "a" * 64), [{"kind": "table", "name": "t", "rows": len(frame), "columns": ["x"]}])


def test_the_page_of_one_run_holds_a_whole_table_folded(tmp_path: Path):
    frame = pd.DataFrame({"error": [1e-9] * 80, "layer": [f"layer {i} {EVIL}" for i in range(80)]})
    page = to_html(shown_run(tmp_path, frame))

    assert "<details><summary>Table <code>t</code>: 80 rows" in page
    assert all(f"layer {i} " in page for i in range(80))
    assert page.index('<th scope="col">layer') < page.index('<th scope="col">error')
    assert "&lt; 1e-6" in page
    assert "<script" not in page


def test_a_short_table_is_shown_without_its_index_and_leads_to_all_digits(tmp_path: Path):
    frame = pd.DataFrame({"error": [1 / 3, 1 / 7], "layer": ["a", "b"]})
    folder = shown_run(tmp_path / "runs", frame)
    run = Experiment(read_record(folder), [], folder, "mine", "")
    tables = tables_by_name(run, Writer(tmp_path / "site"))
    (output,) = nbformat.read(folder / "notebook.ipynb", 4).cells[0].outputs
    shown = Recorded({}, tables).of(output)
    output.data["text/html"] = frame.set_index("layer").to_html()

    assert '<td class="mk-short mk-keep">a</td>\n<td class="mk-short">0.3333</td>' in shown
    assert f'href="../{run.evidence}/tables/t.csv"' in shown
    assert Recorded({}, tables).of(output) == ""  # this index says something
