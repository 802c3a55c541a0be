"""`python -m masklib`."""

import sys
from pathlib import Path

if not sys.flags.safe_path and sys.path[0] in ("", str(Path.cwd())):
    del sys.path[0]  # Python puts the current folder there, where a file may be named like a library; --custom asks for it

from masklib.cli.main import main

main()
