"""The ledger of claims, the rule that judges a measurement, and what a notebook calls to record one. It knows no Keras."""
