"""JupyterLab whose Python kernels are warm: `make lab`, or `python -m masklib.engine.kernels.lab FOLDER`.

The fork server imports the libraries while JupyterLab starts; a notebook that is opened then has a kernel at once. Notebooks and
kernelspecs stay as they are. Where kernels cannot be forked, ordinary ones are started.
"""

import os
import sys
from collections.abc import Sequence

from masklib.engine.kernels import PROVISIONER, ServerError
from masklib.engine.kernels.servers import server_for

OPTION = "--KernelProvisionerFactory.default_provisioner_name"  # of kernelspecs that name no provisioner themselves


def options() -> list[str]:
    """Return the options of JupyterLab, or of Jupyter Server, for warm kernels; [] where they cannot be had.

    Starts the fork server of this process.
    """
    try:
        server_for(os.environ)
    except ServerError as error:
        sys.stderr.write(f"Kernels start cold: {error}\n")
        return []
    return [f"{OPTION}={PROVISIONER}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run JupyterLab in this process until it is closed.

    Args:
        arguments: of `jupyter lab`; by default those of the command line.
    """
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

    given = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at level 1
    LabApp.launch_instance([*options(), *(["--allow-root"] if is_root() else []), *given])


def is_root() -> bool:
    """Return whether this process runs as root, as in a container, where JupyterLab asks for an option before it starts."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


if __name__ == "__main__":
    main()
