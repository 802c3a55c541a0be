"""What a process of masklib's own does first."""

import sys


def leave_out_grammars() -> None:
    """Let this process do without `rfc3987_syntax`.

    jsonschema imports it where it is installed, for checks of URIs that the schema of notebooks does not ask for, and it
    compiles 38 grammars at import: a second, more than all else that a look at a full store takes.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # None makes an import of it fail
