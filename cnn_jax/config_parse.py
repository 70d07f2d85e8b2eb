"""Stable import path for scripts of the config parser in `cnn_jax.config.parsing`."""

from cnn_jax.config.parsing import ConfigError, override, parse

__all__ = ["ConfigError", "override", "parse"]
