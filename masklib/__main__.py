"""`python -m masklib`."""

from masklib.cli.main import main

main()
