"""Agreement between implementations: masklib, its reference, and Keras."""
