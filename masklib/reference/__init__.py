"""What masking means: NumPy, float64, loops; written to be read, and slow on purpose.

Each module states one part of the definition that Keras and `masklib`'s own layers, losses and metrics are measured
against: `masks` (where masks come from and how they merge), `recurrent`, `attention`, `masked_layers` (every layer that uses a
mask), `losses`, `metrics`, `divisors` (what a mean was divided by). Import the modules: `from masklib.reference import losses`.
Nothing here imports Keras.

Conventions, everywhere: a mask is a bool array (B, T), True = valid; None means that every step is valid; what a masked
step holds, NaN included, never reaches a result. Axes: B batch, T time, F features, U units, C classes.
"""
