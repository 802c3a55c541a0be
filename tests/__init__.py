"""Tests; the package makes `from tests.helpers import ...` work everywhere."""
