"""Shapes, parameters, multiply-adds and receptive fields of any network, and the checks before a run."""

from cnn_jax.geometry.summary import LayerGeometry, Summary, locate, summarize

__all__ = ["LayerGeometry", "Summary", "locate", "summarize"]
