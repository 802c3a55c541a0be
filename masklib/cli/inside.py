"""The command line as it begins in a process of another environment."""

from typing import Any

from masklib.cli.audit_inside import INSIDE
from masklib.cli.main import main as masklib


def main(name: str, arguments: list[str]) -> Any:
    """Call masklib in this process, which is one of the environment of this name."""
    return masklib.main(arguments, prog_name="masklib", obj={INSIDE: name})
