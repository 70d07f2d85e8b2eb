"""Shape of a config's images and number of its classes, known before the images are read."""

from __future__ import annotations

from pathlib import Path

from cnn_jax import config as cfg
from cnn_jax.data.sources import image_folder, npz_file
from cnn_jax.data.sources.mnist_sets import NAMED_SETS

ImageShape = tuple[int, int, int]


def declared(data: cfg.Data) -> tuple[ImageShape | None, int | None]:
    """Finds what a config says about its images.

    Args:
      data: Data section of the config.

    Returns:
      ((height, width, channels) in pixels, number of classes); None for what only the images tell.

    Raises:
      DataError: where a folder that is there cannot be used.
    """
    match data:
        case cfg.FashionMnist() | cfg.Mnist():
            return (28, 28, 1), len(NAMED_SETS[data.name].class_names["label"])
        case cfg.Idx():
            return None, _count(data.class_names)
        case cfg.Cifar10():
            return (32, 32, 3), 10
        case cfg.Cifar100():
            return (32, 32, 3), 100 if data.labels == "fine" else 20
        case cfg.Npz():
            path = Path(data.file).expanduser()
            shape = npz_file.describe(path, data.value_range)[0] if path.is_file() else None
            return shape, _count(data.class_names)
        case cfg.Tfds():
            from cnn_jax.data.sources import tfds_set  # TFDS takes a third of a second to import

            return _given(data), tfds_set.class_count(data)
        case cfg.Parquet() | cfg.WebDataset():
            return _given(data), _count(data.class_names)
        case cfg.Csv():
            return (data.height, data.width, data.channels), _count(data.class_names)
        case cfg.ImageFolder():
            classes, folder = data.classes, Path(data.train_dir).expanduser()
            if classes is None and folder.is_dir():
                classes = len(image_folder.class_names(folder, "config.data.train_dir"))
            return (data.height, data.width, data.channels), classes
        case cfg.Records():
            records_folder = Path(data.folder).expanduser()
            classes = data.classes
            if classes is None and records_folder.is_dir():
                from cnn_jax.data.sources import records  # Grain takes a second to import

                classes = len(records.read_manifest(records_folder, "config.data.folder").class_names)
            return (data.image_size, data.image_size, data.channels), classes


def pixel_type(data: cfg.Data) -> str:
    """Finds the type of a config's pixels, "uint8" or "float32".

    Args:
      data: Data section of the config.

    Raises:
      DataError: If a file that is there cannot be used.
    """
    if isinstance(data, cfg.Npz) and (path := Path(data.file).expanduser()).is_file():
        return npz_file.describe(path, data.value_range)[1]
    return "uint8"


def _given(data: cfg.Pictures) -> ImageShape | None:
    if data.height is None or data.width is None or data.channels is None:
        return None
    return data.height, data.width, data.channels


def _count(names: tuple[str, ...] | None) -> int | None:
    return None if names is None else len(names)
