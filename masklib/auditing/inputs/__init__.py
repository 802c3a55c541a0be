"""The inputs of a test: given or made, what padding is in them, and the ways to change it."""
