"""Runs of notebooks: parameters, identity, execution, store, collection. Nothing here knows Keras."""
