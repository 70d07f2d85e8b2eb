"""Trains on a Cloud TPU slice: `python -m scripts.tpu --help`."""
