"""Finding and reading notebooks; a notebook that a run could not use is refused here."""

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from masklib.engine.contents import parse_json
from masklib.engine.kernels.choosing import THIS, find_kernel, kernel_name
from masklib.errors import NotebookError

PARAMETERS_TAG = "parameters"
_TITLE = re.compile(r"#\s+(?:\d+\s*·\s*)?(.+)")  # "# 02 · What does ...?"
EXECUTION_TAGS = frozenset({PARAMETERS_TAG, "skip-execution", "raises-exception"})
_INSTALLED = Path(__file__).parents[1] / "suite" / "notebooks"  # of a masklib that was installed from its wheel
OWN_NOTEBOOKS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "notebooks"  # else of the checkout


@dataclass(frozen=True)
class Notebook:
    """A notebook as read from disk.

    Attributes:
        name: the file's stem; names the folder of its runs.
        path: where it was read.
        node: its content, nbformat 4.
    """

    name: str
    path: Path
    node: Any

    @cached_property
    def folder(self) -> str:
        """The folder in which its kernel works, absolute; "" for masklib's own notebooks, which each checkout has."""
        folder = self.path.absolute().parent
        return "" if folder.resolve() == OWN_NOTEBOOKS.resolve() else str(folder)

    @property
    def code_cells(self) -> Iterator[Any]:
        """The code cells, in order."""
        return (cell for cell in self.node.cells if cell.cell_type == "code")

    @cached_property
    def executed(self) -> list[list[Any]]:
        """The source of each code cell, with the tags that change how it is executed."""
        return [[cell.source, sorted(EXECUTION_TAGS.intersection(tags(cell)))] for cell in self.code_cells]

    @cached_property
    def parameters_source(self) -> str:
        """The source of the cell that is tagged `parameters`; "" where there is none."""
        return parameters_source(self.node)

    @cached_property
    def language(self) -> str:
        """The language that its metadata name, in lower case; "python" where they name none."""
        return language_of(self.node.metadata)


@dataclass(frozen=True)
class Glance:
    """What a list of notebooks shows of one.

    Attributes:
        question: its title without the number, such as "What does a recurrent layer do at a masked step?"; "" where it has none.
        parameters_source: the source of the cell that is tagged `parameters`; "" where there is none.
        language: of its kernel, in lower case.
    """

    question: str
    parameters_source: str
    language: str


def parameters_source(node: Any) -> str:
    """Return the source of the code cell of `node` that is tagged `parameters`; "" where there is none."""
    found = (str(cell.source) for cell in node.cells if cell.cell_type == "code" and PARAMETERS_TAG in tags(cell))
    return next(found, "")


def language_of(metadata: Any) -> str:
    """Return the language that the metadata of a notebook name, in lower case; "python" where they name none."""
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(named or "python").lower()


def tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def notebooks_folder() -> Path:
    """Return `notebooks` of the current folder, or masklib's own."""
    here = Path("notebooks")
    return here if here.is_dir() else OWN_NOTEBOOKS


def copy_own(folder: Path) -> list[Path]:
    """Copy masklib's own notebooks into a folder, and return their paths.

    Raises:
        NotebookError: the folder holds something, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            msg = f"Notebooks are copied into a new or empty folder, {folder} is not empty. Name another one."
            raise NotebookError(msg)
        return [Path(shutil.copyfile(path, folder / path.name)) for path in sorted(OWN_NOTEBOOKS.glob("*.ipynb"))]
    except OSError as error:
        msg = f"Notebooks are copied into a folder that can be written, {folder} cannot: {error.strerror}."
        raise NotebookError(msg) from None


def suite() -> list[Path]:
    """Return the paths of the suite's notebooks, in reading order.

    Raises:
        NotebookError: there are none.
    """
    paths = sorted(notebooks_folder().glob("*.ipynb"))
    if not paths:
        msg = f"The suite needs notebooks, found none in {notebooks_folder()}. Copy those of masklib: masklib notebooks DIR."
        raise NotebookError(msg)
    return paths


def find_notebook(name: str | Path) -> Path:
    """Return the path of a notebook given by path, by its name in the suite (`02_rnn_carry_over`), or by how that begins (`02`).

    Raises:
        NotebookError: there is no such file, or several begin so; the message names these, or the nearest of the suite.
    """
    path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113 (false for a name that is too long, which a Path raises for)
        return path
    known = {p.stem: p for p in sorted(notebooks_folder().glob("*.ipynb"))}
    begun = [stem for stem in known if str(name) and stem.startswith(str(name))]
    if str(name) in known or len(begun) == 1:
        return known.get(str(name)) or known[begun[0]]
    if begun:
        msg = f"One notebook must begin with {str(name)!r}, {len(begun)} do: {', '.join(begun)}. Write more of the name."
        raise NotebookError(msg)
    near = get_close_matches(path.stem, known, n=3, cutoff=0.3)
    hint = f"Did you mean {', '.join(near)}?" if near else "Give the path of an .ipynb file."
    msg = f"A notebook must be a file, or a name in {notebooks_folder()}; there is no {str(name)[:200]!r}. {hint}"
    raise NotebookError(msg)


def read_notebook(name: str | Path, kernel: str | None = None) -> Notebook:
    """Return the notebook at a path, or of that name in the suite, checked.

    Args:
        name: a path, or a name in the suite.
        kernel: the name of a kernel in place of the one that its metadata name.

    Raises:
        NotebookError: no such file, not a Jupyter notebook, or more than one cell tagged `parameters`.
    """
    path = find_notebook(name)
    node = _read(path)
    check_parameters_cell(node, str(path))
    _choose_kernel(node, kernel)
    return Notebook(path.stem, path, node)


def glance(path: Path) -> Glance:
    """Return what a list of notebooks shows of one.

    The file is read as JSON and not checked, for importing what checks it takes longer than all else that a list needs.

    Raises:
        NotebookError: the file cannot be read, or is no notebook.
    """
    try:
        content = parse_json(path.read_bytes().decode())
        cells = [(cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in content["cells"]]
        language = language_of(content["metadata"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        notebook = read_notebook(path)
        cells = [(cell.cell_type, str(cell.source), tags(cell)) for cell in notebook.node.cells]
        language = notebook.language
    declared = next((source for kind, source, of in cells if kind == "code" and PARAMETERS_TAG in of), "")
    prose = (_TITLE.match(source) for kind, source, _ in cells if kind == "markdown")
    return Glance(next((found[1].strip() for found in prose if found), ""), declared, language)


def _read(path: Path) -> Any:
    """Return the content of a notebook's file.

    Raises:
        NotebookError: it cannot be read, or holds something else.
    """
    import nbformat
    from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning

    try:
        text = path.read_bytes().decode()
        parse_json(text)
        with warnings.catch_warnings():  # cells without an id, or with that of another, are given one
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            warnings.simplefilter("ignore", DuplicateCellId)
            node = nbformat.reads(text, as_version=4)
            nbformat.validate(node)
    except OSError as error:
        msg = f"{path} must be readable: {error.strerror}."
        raise NotebookError(msg) from None
    except Exception as error:  # nbformat raises whatever its code meets in a file of another form
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        msg = f"{path} must be a Jupyter notebook (nbformat 4), it could not be read as one: {reason}."
        raise NotebookError(msg) from None
    if not isinstance(node.metadata.get("papermill", {}), dict):
        msg = f"{path} must be a Jupyter notebook, its metadata under papermill are not an object."
        raise NotebookError(msg)
    return node


def _choose_kernel(node: Any, kernel: str | None) -> None:
    """Write into the metadata of `node` the kernel that is chosen in place of its own, or the language of its own.

    Raises:
        NotebookError: it is not installed.
    """
    if kernel is None and (kernel_name(node) == THIS or node.metadata.kernelspec.get("language")):
        return
    found = find_kernel(kernel or kernel_name(node))
    shown = node.metadata.get("kernelspec", {}).get("display_name", found.name) if kernel is None else kernel
    node.metadata["kernelspec"] = {"name": kernel or kernel_name(node), "display_name": shown, "language": found.language}
    if kernel:
        node.metadata.pop("language_info", None)


def check_parameters_cell(node: Any, where: str) -> None:
    """Raise NotebookError if more than one code cell of `node` is tagged `parameters`."""
    count = sum(PARAMETERS_TAG in tags(cell) for cell in node.cells if cell.cell_type == "code")
    if count > 1:
        msg = (
            f"{where} must have at most one code cell tagged 'parameters', it has {count}. "
            "Leave the tag to one (in JupyterLab: Property Inspector, Cell Tags)."
        )
        raise NotebookError(msg)
