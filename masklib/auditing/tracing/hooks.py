"""Intercept the calls of Keras layers and operations, for one thread, and restore Keras's own `__call__`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import keras


class Hook(Protocol):
    """Gets every call; it makes the call by `original(layer, *args, **kwargs)`, or returns a result of its own."""

    def of_layer(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Return the result of a call of a layer."""

    def of_operation(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Return the result of the computation of a layer, or of a call of an operation that is not a layer."""


_current: ContextVar[Hook | None] = ContextVar("masklib_hook", default=None)
_lock = threading.Lock()
_users = 0
_originals: list[Any] = []


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Within this context `hook` gets every call of a layer or operation in this thread, and no calls of other threads."""
    _install()
    token = _current.set(hook)
    try:
        yield
    finally:
        _current.reset(token)
        _remove()


def _install() -> None:
    """Intercept the calls of Keras, unless this is done already."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            layer, operation = keras.layers.Layer, keras.Operation
            _originals[:] = [layer.__call__, operation.__call__]
            layer.__call__ = _through(layer.__call__, "of_layer")
            operation.__call__ = _through(operation.__call__, "of_operation")


def _remove() -> None:
    """Restore Keras's own calls when no context needs the others."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            keras.layers.Layer.__call__, keras.Operation.__call__ = _originals


def _through(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a `__call__` that calls the hook of this thread, if there is one."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        hook = _current.get()
        return original(self, *args, **kwargs) if hook is None else getattr(hook, name)(original, self, args, kwargs)

    return call
