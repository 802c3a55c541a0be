"""Try all mutants in a copy of the project, so that the project is not changed: `make mutants`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.table import ROOT

COPIED = ("masklib", "tests", "pyproject.toml")


def main(words: list[str]) -> int:
    """Return what trying the mutants returns; words choose some of them."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        # `-m` puts the folder that it is started in before whatever is installed.
        command = [sys.executable, "-m", "tests.mutants.trying", *words]
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
