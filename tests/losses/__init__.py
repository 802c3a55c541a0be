"""Tests of the masked losses and metrics."""
