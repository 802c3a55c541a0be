"""Running a user's model and leaving it as it was."""
