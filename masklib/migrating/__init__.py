"""Compares one model under two versions of Keras: with the same weights and inputs, each in a process of its environment.

`check` is called by the command line. `child` runs in the environments, with `reading`, `observing`, `masks` and `batches`;
`comparing` and `explaining` judge what they return, with NumPy alone.
"""
