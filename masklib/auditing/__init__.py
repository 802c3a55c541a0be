"""Does padding leak into a model: where its masks go, and what to write instead."""
