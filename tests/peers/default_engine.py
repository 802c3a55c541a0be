"""A plugin of pytest: papermill's engine is ours, wherever a test names none."""

import papermill  # before masklib.engine.execute, which it loads
from papermill.engines import papermill_engines

from masklib.engine.execute import MaskEngine

assert papermill
papermill_engines.register(None, MaskEngine)
