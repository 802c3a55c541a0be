"""The engine: parameters, identity, store, execution, tables."""
