"""The notebooks: their form and their runs."""
