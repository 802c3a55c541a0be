"""The audit of a user's model.

Its packages form a chain, report -> invariance -> inputs -> tracing -> borrowing; each imports only those after it.
"""
