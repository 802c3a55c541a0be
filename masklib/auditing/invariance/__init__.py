"""What padding changes: outputs, losses, metrics, gradients and statistics.

They are compared in situations where all must stay the same.
"""
