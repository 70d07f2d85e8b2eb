"""Data sets of encoded pictures: where their images lie while the network trains, and what it sees of them.

Small sets are decoded once and lie on the devices, or in the host's memory; large ones are read and decoded while the
network trains. Images in the host's memory come in the same batches, to the bit, as those that are streamed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from cnn_jax import config as cfg
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.errors import DataError, UnreadableRecordError
from cnn_jax.data.host.crops import AsHeld, RandomResizedCrop, View, WholePicture, evaluation_crop
from cnn_jax.data.host.picture import UnreadablePictureError, open_picture, upright
from cnn_jax.data.sources import memory, subset
from cnn_jax.data.sources.examples import Examples, HeldImages, Source, decode
from cnn_jax.data.sources.stream import Stream
from cnn_jax.data.split import Split
from cnn_jax.run import machine

_GREY_MODES = ("1", "L", "LA", "La")


def open_streams(config: cfg.Records | cfg.Pictures, seed: int) -> Dataset:
    """Opens a data set that is read while the network trains, or lies in the host's memory.

    Args:
      config: The source, and what is seen of its pictures.
      seed: Seed of the experiment; decides which images are held out.

    Returns:
      The data set, in batches of one example until `Stream.in_batches`; no worker is started.

    Raises:
      DataError: If it cannot be used, or does not allow the split.
    """
    source = open_pictures(config)
    numbers = subset.draw_splits(source, config, seed)
    return Dataset.of(config.name, source, streams(source, config, seed, numbers), numbers)


def open_pictures(config: cfg.Records | cfg.Pictures) -> Source:
    """Opens a data set, and decides where its images lie.

    Args:
      config: The source, and what is seen of its pictures.

    Raises:
      DataError: If it cannot be used; the message says what helps.
    """
    found = _source(config)
    if isinstance(config, cfg.Records):
        views = _views(config, (config.image_size, config.image_size, config.channels))
        return dataclasses.replace(found, memory="stream", views=views)
    assert isinstance(found.train, Examples)
    image_shape = _image_shape(config, found.train)
    count = sum(len(each) for each in found.splits.values() if each is not None)
    chosen: memory.Memory
    if config.crop_area is not None:
        where = "images stay in their files, read while training"
        chosen, placement = "stream", f"{where}: config.data.crop_area draws their parts anew in each epoch"
    else:
        chosen, placement = memory.place(config.memory, count * math.prod(image_shape))
    return dataclasses.replace(found, memory=chosen, placement=placement, views=_views(config, image_shape))


def decoded(source: Source) -> Source:
    """Decodes all pictures of a data set.

    Raises:
      DataError: If pictures are damaged, or the images do not fit into the memory that is left.
    """
    assert source.views is not None
    view, parts = source.views[0], source.splits
    return source.with_splits(
        {name: None if part is None else decode(part, np.arange(len(part)), view) for name, part in parts.items()}
    )


def streams(
    source: Source, config: cfg.Data, seed: int, numbers: Mapping[str, Int[np.ndarray, " n"]] | None = None
) -> dict[str, Stream | None]:
    """Makes streams of images that lie in the host's memory, or are read while the network trains.

    Args:
      source: The data set.
      config: Where it comes from.
      seed: Seed of the experiment.
      numbers: Numbers of the images of each split, as `subset.draw_splits` gives them; None for all that there are.

    Returns:
      Streams of the "train", "validation" and "test" images; None for a split without images.

    Raises:
      DataError: If images in the host's memory do not fit there, or their pictures are damaged.
    """
    workers, threads = 0, 1
    if isinstance(config, cfg.Records | cfg.Pictures | cfg.ImageFolder):
        workers = len(machine.available_cores()) if config.workers is None else config.workers
        threads = config.threads

    def stream(which: str, part: Split | Examples) -> Stream:
        shuffled, view = which == "train", None if source.views is None else source.views[which != "train"]
        chosen = np.arange(len(part)) if numbers is None else numbers[which]
        if isinstance(part, Examples) and source.memory == "stream":
            assert view is not None
            some = None if len(chosen) == len(part) else chosen
            return Stream(part, some, view, source.statistics, seed, shuffled, workers, threads)
        name, groups = f"{config.name}, {which}", None
        if isinstance(part, Examples):
            assert view is not None
            name, groups = part.name, part.groups()
            groups = None if groups is None else groups[chosen]
            part = decode(part, chosen, view)
        as_held = AsHeld(part.image_shape, part.images.dtype.name)
        return Stream(HeldImages(part, name, groups), None, as_held, None, seed, shuffled, 0, threads)

    parts = source.splits
    if source.validation is None and numbers is not None and len(numbers["validation"]):
        parts["validation"] = source.train
    return {which: None if part is None else stream(which, part) for which, part in parts.items()}


def _source(config: cfg.Records | cfg.Pictures) -> Source:
    match config:
        case cfg.Records():
            from cnn_jax.data.sources import records

            return records.open_folder(config)
        case cfg.Tfds():
            from cnn_jax.data.sources import tfds_set

            return tfds_set.open_set(config)
        case cfg.Parquet():
            from cnn_jax.data.sources import parquet

            return parquet.open_files(config)
        case cfg.WebDataset():
            from cnn_jax.data.sources import webdataset

            return webdataset.open_shards(config)


def _image_shape(config: cfg.Pictures, train: Examples) -> tuple[int, int, int]:
    """Takes the shape of what the network sees from the config, and what it leaves open from the first picture."""
    if config.height is not None and config.width is not None and config.channels is not None:
        return config.height, config.width, config.channels
    try:
        picture = train[0].picture
        if isinstance(picture, np.ndarray):
            height, width, channels = picture.shape
        else:
            with open_picture(picture) as opened:
                is_grey = opened.mode in _GREY_MODES or opened.mode.startswith("I")
                channels = 1 if is_grey else 3
                height, width = upright(opened, "L" if is_grey else "RGB")[0].shape[:2]
    except UnreadableRecordError as error:
        raise DataError(f"config.data: {error}") from error
    except UnreadablePictureError as error:
        raise DataError(f"config.data: {train.place(0)} cannot be read as a picture: {error}") from error
    return config.height or height, config.width or width, config.channels or channels


def _views(config: cfg.Records | cfg.Pictures, image_shape: tuple[int, int, int]) -> tuple[View, View]:
    """Makes what is seen of training pictures, and of others."""
    if (centre := evaluation_crop(config, image_shape)) is None:
        whole = WholePicture(image_shape, resized=isinstance(config, cfg.Records) or config.height is not None)
        return whole, whole
    if config.crop_area is None:
        return centre, centre
    side, _, channels = image_shape
    mirror = isinstance(config, cfg.Records) and config.mirror
    return RandomResizedCrop(side, channels, config.crop_area, config.crop_aspect, mirror), centre
