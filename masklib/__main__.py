"""`python -m masklib`."""

from masklib.cli import main

main()
