"""The front page: of the suite, or of the notebooks of somebody else."""

from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import tomllib
from markupsafe import Markup

from masklib.claims.ledger import load_claims
from masklib.engine.committed import first_sentence
from masklib.site import api
from masklib.site.changes import titles
from masklib.site.executed import title_of
from masklib.site.names import on_keras
from masklib.site.pictures import pictures, show
from masklib.site.survey import Survey, slug
from masklib.site.text import render
from masklib.site.verdicts import Matrix, split
from masklib.site.writing import Writer

FIGURE = ("03_masked_evaluate_loss", "loss_denominators")
LINES = 5  # of advice


def write_front(survey: Survey, matrix: Matrix, source: Writer, out: Writer, links: dict[str, list[str]]) -> None:
    """Write the front page, with its list of all pages.

    Args:
        survey: of the store.
        matrix: every verdict.
        source: the folder that Sphinx reads.
        out: the folder of the site.
        links: the pages of each part of the site, by the title of the part.
    """
    told = tomllib.loads(files("masklib.site").joinpath("front.toml").read_text(encoding="utf-8"))
    pages = {page for part in links.values() for page in part} | set(api.pages())
    answers = [answer for answer in (_answer(entry, survey, matrix) for entry in told["answer"]) if answer]
    advice = [entry for entry in told["advice"] if all(_applies(c, survey, matrix) for c in entry["when"])]
    advice = [{"text": entry["text"], "page": entry["page"] if entry["page"] in pages else ""} for entry in advice[:LINES]]
    of_documents, own = split(load_claims().values())
    start: dict[str, Any] = {
        "answers": answers,
        "advice": advice,
        "figure": _figure(survey, out),
        "on": on_keras(*matrix.main),
        "total": len(of_documents),
        "counts": matrix.counts(of_documents),
        "own": len(own),
        "own_counts": matrix.counts(own),
        "versions": titles(),
    }
    source.write("fragments/start.html", render("start.html", **start))
    source.write("fragments/matrix.html", render("matrix.html", **_matrix_values(matrix)))
    source.write("index.md", _INDEX + "\n".join(_toctree(title, part) for title, part in links.items() if part))


def write_own_front(survey: Survey, source: Writer, links: dict[str, list[str]]) -> None:
    """Write the front page of a store that holds no run of masklib's suite: it is about its own notebooks alone."""
    names = list(dict.fromkeys([*survey.experiments, *survey.others]))
    notebooks = [_own_notebook(survey, name) for name in sorted(names)]
    total = len(survey.tables.runs)
    source.write("fragments/start.html", render("own.html", notebooks=notebooks, total=total))
    listed = "\n".join(_toctree(title, part) for title, part in links.items() if part)
    source.write(
        "index.md", f"# Runs of {len(names)} notebook{'s' * (len(names) != 1)}\n\n{raw('fragments/start.html')}\n{listed}"
    )


def _own_notebook(survey: Survey, name: str) -> dict[str, Any]:
    """Return what the front page says of one notebook."""
    main = survey.experiments.get(name, [])[:1]
    others = len(survey.others.get(name, ()))
    return {
        "title": title_of(main[0].notebook, name) if main else name,
        "name": name,
        "page": main[0].page if main else "",
        "answer": main[0].answer if main else "",
        "ran": on_keras(*main[0].cell) if main else "",
        "others": others,
        "sweep": f"sweeps/{slug(name)}" if others else "",
    }


def raw(name: str) -> str:
    """Return the Markdown that shows a file of HTML; `name` is relative to the page."""
    return f"```{{raw}} html\n:file: {name}\n```\n"


def _figure(survey: Survey, out: Writer) -> Markup | None:
    """Return the figure of the front page as HTML, or None if it was not drawn."""
    for experiment in survey.experiments.get(FIGURE[0], [])[:1]:
        for picture in pictures(experiment, out):
            if picture.name == FIGURE[1]:
                return Markup(show(picture, "", experiment.page))  # noqa: S704 (of a template)
    return None


def _answer(entry: dict[str, str], survey: Survey, matrix: Matrix) -> dict[str, str] | None:
    """Return a question with the answer that was measured, or None if nothing was."""
    told = {"question": entry["question"]}
    if "claim" in entry:
        found = matrix.of(entry["claim"])
        if found is None or found.verdict not in entry:
            return None
        return told | {"text": entry[found.verdict], "page": f"claims/{entry['claim']}.html", "evidence": entry["claim"]}
    text = _text(entry, survey)
    if not text:
        return None
    page = entry.get("page", survey.experiments[entry["notebook"]][0].page)
    return told | {"text": text, "page": f"{page}.html", "evidence": entry.get("evidence", f"notebook {entry['notebook'][:2]}")}


def _text(entry: dict[str, str], survey: Survey) -> str:
    """Return the answer by a number that a notebook recorded, or else the first sentence of its own answer; "" for neither."""
    if "metric" not in entry:
        return first_sentence(next((one.answer for one in survey.experiments.get(entry["notebook"], [])[:1]), ""))
    value = _metric(entry, survey)
    return "" if value is None else entry["above" if value > 0 else "zero"]


def _applies(condition: dict[str, str], survey: Survey, matrix: Matrix) -> bool:
    """Return whether what was measured calls for an advice."""
    if "module" in condition:
        return _is_there(condition["module"])
    if "claim" in condition:
        found = matrix.of(condition["claim"])
        return found is not None and found.verdict == condition["verdict"]
    return (_metric(condition, survey) or 0.0) > 0


def _metric(entry: dict[str, str], survey: Survey) -> float | None:
    """Return a number of the main run of a notebook, or None."""
    found = survey.experiments.get(entry["notebook"], [])
    return found[0].metric(entry["metric"]) if found else None


def _is_there(module: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _matrix_values(matrix: Matrix) -> dict[str, Any]:
    """Return what the table of the verdicts is made of."""
    committed = any(not found.page for row in matrix.cells.values() for found in row.values())
    names = {"tensorflow": "TF", "jax": "JAX", "torch": "Torch"}
    of_documents, own = split(load_claims().values())
    parts = [(_TITLES[0], of_documents), *([(_TITLES[1], own)] if own else [])]
    return {"matrix": matrix, "parts": parts, "on": on_keras(*matrix.main), "committed": committed, "names": names}


def _toctree(title: str, pages: list[str]) -> str:
    """Return the Markdown that lists the pages of one part of the site."""
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


_TITLES = ("the documents say", "found here")
_INDEX = f"""# What do Keras masks really do?

{raw("fragments/start.html")}

## Every claim, every Keras

{raw("fragments/matrix.html")}
"""
