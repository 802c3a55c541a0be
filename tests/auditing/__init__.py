"""The audit of models."""
