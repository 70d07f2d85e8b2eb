"""Shapes, parameter counts, multiply-adds and receptive fields of networks, and checks before a run."""

from cnn_jax.geometry.receptive_field import LayerGeometry, locate
from cnn_jax.geometry.summary import Summary, summarize

__all__ = ["LayerGeometry", "Summary", "locate", "summarize"]
