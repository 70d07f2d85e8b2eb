"""Everything by which a run is refused before it starts."""

from cnn_jax.config_parse import ConfigError
from cnn_jax.data import DataError
from cnn_jax.ops import GeometryError
from cnn_jax.pretrained import WeightsError
from cnn_jax.run.folder import RunFolderError

REFUSALS = (ConfigError, DataError, GeometryError, RunFolderError, WeightsError)
