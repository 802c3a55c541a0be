"""What a Python of another environment does first: find masklib, and prepare for an old Keras.

Only this folder is put on `PYTHONPATH` there, never the one that holds masklib: that may be full of libraries for another
Python. So masklib is always the source of the process that asked for the kernel: it is not installed in the environment, and no
copy can be stale. Python imports a module of this name by itself.
"""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2]


class FindMasklib:
    """Finds masklib where this file is."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> "ModuleSpec | None":
        """Return where masklib is; None for every other module."""
        if name != "masklib":
            return None
        folders = [str(PACKAGE)]
        return importlib.util.spec_from_file_location(name, PACKAGE / "__init__.py", submodule_search_locations=folders)


class PrepareKeras:
    """Runs `prepare()` of a module of this folder when keras is first looked for, and steps aside.

    Args:
        module: its name.
    """

    def __init__(self, module: str):
        self.module = module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> "ModuleSpec | None":
        """Prepare if it is keras that is looked for, and return where it is then."""
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        importlib.import_module(self.module).prepare()
        return importlib.util.find_spec(name)


sys.meta_path.insert(0, FindMasklib)
if os.environ.get("MASKLIB_STARTUP"):
    sys.meta_path.insert(0, PrepareKeras(os.environ["MASKLIB_STARTUP"]))
