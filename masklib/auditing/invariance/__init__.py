"""What padding changes: outputs, losses, metrics, gradients and statistics.

They are compared in situations in which they must stay the same.
"""
