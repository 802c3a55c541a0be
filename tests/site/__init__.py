"""One module per module of masklib: values by hand, edges, messages."""
