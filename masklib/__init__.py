"""What Keras masks really do, measured."""
