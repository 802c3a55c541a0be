"""Warm kernels: a fork server that has imported the libraries, and the Jupyter provisioner that takes kernels from it."""

from masklib.errors import MasklibError

PROVISIONER = "masklib-warm"  # its entry point's name


class ServerError(MasklibError):
    """The fork server cannot be used; an ordinary kernel can."""
