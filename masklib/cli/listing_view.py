"""What `masklib list` shows of notebooks: their questions, answers and parameters. Neither NumPy nor pandas is imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from masklib.cli.console import out, print_json, print_table
from masklib.engine.committed import ANSWERS, Row, committed_answers, first_sentence, newest_answers, read_rows
from masklib.engine.declaring import read_parameters
from masklib.engine.notebooks import glance


def show_notebooks(paths: Sequence[Path], root: str, as_json: bool) -> None:
    """Print each notebook with its question and the beginning of its answer: a line each, folded on a terminal."""
    found = _answers(root)
    rows = [_row(path, found) for path in paths]
    if as_json:
        print_json(rows)
    elif out.is_terminal:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(row["notebook"], Text(row["question"]))
            if row["answer"]:
                table.add_row("", Text(first_sentence(row["answer"]), style="dim"))
        out.print(table)
        measured = sorted({f"Keras {row['keras']} on {row['backend']} ({row['source']})" for row in rows if row["answer"]})
        out.print(Text(f"Answers: {', '.join(measured) or 'none yet'}. More of one: masklib list NOTEBOOK"))
    else:
        width = max(len(row["notebook"]) for row in rows)
        for row in rows:
            line = f"{row['notebook']:{width}}  {row['question']}  {first_sentence(row['answer'])}"
            out.file.write(f"{' '.join(line.splitlines()).rstrip()}\n")


def show_notebook(path: Path, root: str, as_json: bool) -> None:
    """Print one notebook: its question, its whole answer, and its parameters."""
    row = _row(path, _answers(root))
    if as_json:
        print_json([row])
        return
    out.print(Text(row["question"] or row["notebook"], style="bold"))
    if row["answer"]:
        told = f"{row['answer']} (Keras {row['keras']} on {row['backend']}, {row['source']})"
        out.print(Text(told), soft_wrap=not out.is_terminal)
    columns, parameters = ["parameter", "type", "default", "help"], [list(p.values()) for p in row["parameters"]]
    print_table(f"Parameters of {row['notebook']}", columns, parameters)


def _answers(root: str) -> dict[str, Row]:
    """Return by notebook the answer of the last `masklib reproduce` in a folder of runs, or else the committed one."""
    own = [] if "://" in root else read_rows(Path(root) / "tables" / ANSWERS)
    committed = newest_answers(row | {"source": "committed"} for row in committed_answers())
    return committed | newest_answers(row | {"source": root} for row in own)


def _row(path: Path, answers: dict[str, Row]) -> dict[str, Any]:
    """Return what there is to show of a notebook."""
    seen = glance(path)
    answer = answers.get(path.stem, dict.fromkeys(("answer", "keras", "backend", "source"), ""))
    return {
        "notebook": path.stem,
        "question": seen.question,
        **{name: answer[name] for name in ("answer", "keras", "backend", "source")},
        "parameters": [
            {
                "parameter": p.name,
                "type": p.kind,
                "default": "(required)" if p.required else "(computed)" if p.computed else repr(p.default),
                "help": p.help,
            }
            for p in read_parameters(seen.parameters_source, f"the parameters cell of {path.stem}", seen.language)
        ],
    }
