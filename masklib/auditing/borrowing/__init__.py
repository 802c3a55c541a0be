"""Running a user's model and restoring it."""
