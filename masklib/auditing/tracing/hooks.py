"""Intercept the calls of Keras, for one thread, and restore Keras's own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import keras


class Hook(Protocol):
    """What every call is handed to; it makes the call with `original(layer, *args, **kwargs)`, or answers itself."""

    def of_layer(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Answer a call of a layer."""

    def of_operation(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Answer a call of what computes a layer, or of an operation that is no layer."""


_current: ContextVar[Hook | None] = ContextVar("masklib_hook", default=None)
_lock = threading.Lock()
_users = 0
_originals: list[Any] = []


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Within this context every call of a layer or operation in this thread goes to `hook`; other threads' calls do not."""
    _install()
    token = _current.set(hook)
    try:
        yield
    finally:
        _current.reset(token)
        _remove()


def _install() -> None:
    """Intercept the calls of Keras, unless another thread does already."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            layer, operation = keras.layers.Layer, keras.Operation
            _originals[:] = [layer.__call__, operation.__call__]
            layer.__call__ = _through(layer.__call__, "of_layer")
            operation.__call__ = _through(operation.__call__, "of_operation")


def _remove() -> None:
    """Restore Keras's own calls when nobody needs others any more."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            keras.layers.Layer.__call__, keras.Operation.__call__ = _originals


def _through(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a `__call__` that goes to the hook of this thread, if there is one."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        hook = _current.get()
        return original(self, *args, **kwargs) if hook is None else getattr(hook, name)(original, self, args, kwargs)

    return call
