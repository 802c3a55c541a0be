"""A zoo of models, faulty and healthy; the truth about each is measured by brute force, and the audit is held against it."""
