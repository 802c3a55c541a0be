"""The kernelspec by which JupyterLab, nbclient and plain papermill start warm kernels."""

import json
import sys
import tempfile
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from masklib.engine.kernels import PROVISIONER

NAME = "masklib"


def python_spec(*, warm: bool, python: str = sys.executable) -> KernelSpec:
    """Return the kernelspec of a Python, by default the one that runs this.

    What libraries write to the process's own stderr goes to the kernel's log, not into the outputs of cells.

    Args:
        warm: whether its kernels are forked from a process that has imported the libraries.
        python: the interpreter.
    """
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--IPKernelApp.capture_fd_output=False"]
    metadata = {"kernel_provisioner": {"provisioner_name": PROVISIONER}} if warm else {}
    return KernelSpec(argv=argv, display_name="Python 3", language="python", interrupt_mode="signal", metadata=metadata)


def install(*, user: bool = False) -> str:
    """Install the kernelspec `masklib`, and return its folder.

    Args:
        user: for this user, so that a JupyterLab of another environment finds it too; that one needs masklib for its
            provisioner. By default into the environment that runs this.
    """
    spec = {**python_spec(warm=True).to_dict(), "display_name": "Python 3 (masklib, warm)"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(spec, indent=1))
        prefix = None if user else sys.prefix
        return str(KernelSpecManager().install_kernel_spec(folder, NAME, user=user, prefix=prefix))
