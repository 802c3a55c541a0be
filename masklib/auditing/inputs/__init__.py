"""The inputs of a test: given or made, which of their steps are padding, and the ways to change it."""
