"""What readers see: the generated part of the README."""
