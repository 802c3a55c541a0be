"""Imports every module that registers specimens."""

from tests.wild import after_series, after_text, after_training, after_translation, from_keras_hub, from_packages

OPEN = (after_text, after_translation, after_series, after_training, from_keras_hub, from_packages)
