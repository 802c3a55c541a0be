"""Models that were not built for this project, each with its truth by brute force."""
