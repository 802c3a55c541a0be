"""Questions to a running kernel about what it imports, asked between its cells without a trace in the notebook."""

import ast
import contextlib
import json
import time
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient

ANSWER_S = 10.0
_SOURCE = Path(__file__).with_name("imports.py").read_text(encoding="utf-8")
_NAME = "masklib"  # of the expression, and of what its classes say they are of


async def ask(client: AsyncKernelClient, function: str) -> Any:
    """Return what a function of `masklib.engine.kernels.imports` returns in a kernel.

    Args:
        client: of a kernel that is idle.
        function: its name; it takes nothing, and returns None or JSON.

    Returns:
        What the JSON says; None for None, and where the kernel does not answer: it is of another language, or the notebook has
        put something else in the place of what Python has.
    """
    run = f"(lambda space: __import__('builtins').exec({_SOURCE!r}, space) or space[{function!r}]())({{'__name__': {_NAME!r}}})"
    request = client.execute("", silent=True, store_history=False, allow_stdin=False, user_expressions={_NAME: run})
    deadline = time.monotonic() + ANSWER_S
    with contextlib.suppress(Empty, RuntimeError):
        while (left := deadline - time.monotonic()) > 0:
            reply = await client.get_shell_msg(timeout=left)
            if reply["parent_header"].get("msg_id") == request:
                return _value(reply["content"])
    return None


def _value(content: dict[str, Any]) -> Any:
    """Return the value of the expression in an answer; None if it has none."""
    with contextlib.suppress(LookupError, TypeError, ValueError, SyntaxError):
        return json.loads(ast.literal_eval(content["user_expressions"][_NAME]["data"]["text/plain"]))
    return None
