"""The path of the masks through a model: every call, which masks it got and what became of them."""
