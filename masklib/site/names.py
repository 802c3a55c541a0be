"""What pages call the backends and versions of Keras."""

from masklib.engine.record import Record

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch", "numpy": "NumPy"}


def on_keras(keras: str, backend: str) -> str:
    """Return a version of Keras with its backend, such as "Keras 3.15.1 with the TensorFlow backend"."""
    with_backend = f" with the {BACKENDS.get(backend, backend)} backend" if backend else ""
    return f"Keras {keras}{with_backend}" if keras else ""


def ran_on(record: Record) -> str:
    """Return the Keras and the backend of a run; where there is no Keras, what ran."""
    return on_keras(record.keras, record.backend) or record.kernel or "a kernel that did not start"
