"""The path of the masks through a model: every call, what it was given and what became of the mask."""
