"""The command line: the commands, and what they print."""

from masklib.cli.main import main

__all__ = ["main"]
