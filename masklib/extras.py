"""What not every installation has: which extra of masklib brings a module that is missing.

`pip install masklib` brings what the audit needs beside the user's own Keras. The rest comes by extras; see `pyproject.toml`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from masklib.errors import UnavailableError

BACKENDS = ("tensorflow", "jax", "torch")  # of Keras; each is also the package of its name
_ENGINE = (
    *("IPython", "fsspec", "ipykernel", "jupyter_client", "nbclient", "nbformat", "pandas", "papermill", "platformdirs"),
    *("psutil", "pyarrow", "scipy", "traitlets", "upath", "yaml"),
)
_SUITE = (
    *("bleach", "bs4", "defusedxml", "docutils", "furo", "jinja2", "jupyterlab"),
    *("markupsafe", "myst_nb", "nbconvert", "sphinx"),
)
EXTRAS = {  # by the module that is imported
    **dict.fromkeys(_SUITE, "suite"),
    **dict.fromkeys(_ENGINE, "engine"),
    **dict.fromkeys(("dask", "distributed"), "dask"),
    "matplotlib": "plot",
}
KERAS = (
    "This needs Keras and a backend, but Keras is not installed. Install masklib where your model runs, or: "
    "pip install 'masklib[jax]' (or 'masklib[tensorflow]', or keras and torch)."
)


def installed_backends() -> list[str]:
    """Return the backends of Keras that are installed here, in the order in which they are preferred."""
    return [name for name in BACKENDS if find_spec(name)]


def missing(error: ModuleNotFoundError) -> UnavailableError | None:
    """Return the error that says what to install for a module that was not found; None for one that no extra brings."""
    name = (error.name or "").partition(".")[0]
    if name == "keras":
        return UnavailableError(KERAS)
    if name in BACKENDS:
        way = f"pip install {name}" if name == "torch" else f"pip install 'masklib[{name}]'"
        msg = f"Keras is set to the backend {name}, which is not installed. Install it: {way}. Or set KERAS_BACKEND to another."
        return UnavailableError(msg)
    if name in EXTRAS:
        return UnavailableError(f"This needs {name}, which is not installed. Install it: pip install 'masklib[{EXTRAS[name]}]'.")
    return None


def imported(name: str, extra: str) -> Any:
    """Return a module that an extra brings.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        msg = f"This needs {name}, which is not installed. Install it: pip install 'masklib[{extra}]'."
        raise UnavailableError(msg) from None
