"""What makes `import keras` mean tf_keras, the Keras 2 that TensorFlow still publishes; done before keras is imported.

Each module has both names and is loaded once, so that a class is the same whichever of them it came from. This runs without
masklib; see `sitecustomize` beside it.
"""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FROM, TO = "keras", "tf_keras"


class ModulesOfTfKeras:
    """Finds `keras` and what is in it as the modules of `tf_keras`, and loads them."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> "ModuleSpec | None":
        """Return where a module of keras is; None for every other module, and for one that tf_keras has not."""
        if name.partition(".")[0] != FROM or importlib.util.find_spec(TO + name[len(FROM) :]) is None:
            return None
        return ModuleSpec(name, cls, origin=TO)  # type: ignore[arg-type] # its methods are those of a loader

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """Return the module of tf_keras."""
        return importlib.import_module(TO + spec.name[len(FROM) :])

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Do nothing: it was executed when it was imported."""


def prepare() -> None:
    """Let keras be tf_keras; call it before the first `import keras`."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # for tf.keras, too
    sys.meta_path.insert(0, ModulesOfTfKeras)
