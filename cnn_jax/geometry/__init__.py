"""Shapes, parameters, multiply-adds and receptive fields of any network, and the checks before a run."""

from cnn_jax.geometry.receptive_field import LayerGeometry, locate
from cnn_jax.geometry.summary import Summary, summarize

__all__ = ["LayerGeometry", "Summary", "locate", "summarize"]
