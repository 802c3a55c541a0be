"""Mutants: small faults put into masklib on purpose, each with the tests that must notice it."""
