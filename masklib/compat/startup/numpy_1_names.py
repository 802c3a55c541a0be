"""What lets Keras 3.0 to 3.4 run with NumPy 2, which came after them: a name that it removed is put back.

`keras.utils.pad_sequences` asks for `numpy.unicode_`, which always was `numpy.str_`. Nothing of Keras is replaced. This runs
without masklib; see `sitecustomize` beside it.
"""


def prepare() -> None:
    """Put the name back; call it before the first `import keras`."""
    import numpy as np

    if not hasattr(np, "unicode_"):
        np.unicode_ = np.str_  # type: ignore[attr-defined]
