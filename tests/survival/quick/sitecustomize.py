"""Makes the fork servers of every Python process that has this folder on its PYTHONPATH import little, and so start at once."""

from masklib.engine.kernels import servers

servers.PRELOAD = ("numpy", "ipykernel.kernelapp")
