"""The audit of a user's model.

The packages in it form a chain, report -> invariance -> inputs -> tracing -> borrowing, and each imports only those after it.
"""
