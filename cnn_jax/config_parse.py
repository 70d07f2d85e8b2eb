"""The config's parser by the name that scripts know it under; it lives in `cnn_jax.config.parsing`."""

from cnn_jax.config.parsing import ConfigError, override, parse

__all__ = ["ConfigError", "override", "parse"]
