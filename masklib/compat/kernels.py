"""The GPUs that a backend sees, and Keras's own check of a mask before cuDNN; no other module asks for either."""

from importlib import import_module
from typing import Any

import keras
import numpy as np

from masklib.compat.generations import IS_KERAS_3, ops

_KERAS_2 = ("keras.layers.rnn.gru_lstm_utils", "keras.src.layers.rnn.gru_lstm_utils")  # 2.10, 2.15
_KERAS_3 = (f"keras.src.backend.{keras.backend.backend()}.rnn",)


def has_layout_of_cudnn(mask: Any) -> bool | None:
    """Return whether Keras's own check says that a mask bool (B, T) is padded as cuDNN needs it; None where it has no such check.

    It is a private function of Keras, found on TensorFlow in 2.10, 2.15 and 3, and on PyTorch in 3.15. Keras on JAX never gives
    a layer with a mask to cuDNN, and the original Keras has no layer that chooses.
    """
    for module in _KERAS_3 if IS_KERAS_3 else _KERAS_2:
        try:
            check = getattr(import_module(module), "_is_sequence_right_padded" if IS_KERAS_3 else "is_sequence_right_padded")
        except (ImportError, AttributeError):
            continue
        return bool(np.asarray(ops.convert_to_numpy(check(ops.convert_to_tensor(mask)))))
    return None


def gpus() -> list[str]:
    """Return the names of the GPUs that the backend of Keras sees; [] where it sees none, or is asked for none, as NumPy."""
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax", "torch"):
        return []
    library = import_module(backend)
    if backend == "tensorflow":
        return [device.name for device in library.config.list_physical_devices("GPU")]
    if backend == "jax":
        return [str(device) for device in library.devices() if device.platform == "gpu"]
    return [library.cuda.get_device_name(number) for number in range(library.cuda.device_count())]
