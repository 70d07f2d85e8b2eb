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
from cnn_jax.data.host.crops import AsHeld, CentreCrop, RandomResizedCrop, View, WholePicture, evaluation_crop
from cnn_jax.data.host.picture import UnreadablePictureError, open_picture, upright
from cnn_jax.data.sources import memory, subset, whole
from cnn_jax.data.sources.examples import Examples, HeldImages, PictureSet, decode
from cnn_jax.data.sources.image_folder import FolderExamples
from cnn_jax.data.sources.stream import Stream, held_out
from cnn_jax.data.sources.whole import Whole
from cnn_jax.data.split import Split, membership_checksum
from cnn_jax.run import machine

_GREY_MODES = ("1", "L", "LA", "La")


@dataclasses.dataclass(frozen=True)
class Opened:
    """A data set of pictures as a config takes it.

    Attributes:
      pictures: The data set.
      views: Resizing and cropping of training pictures, and of all others.
      memory: Where the images lie.
      placement: The same in words, with the reason; empty where there is no choice.
    """

    pictures: PictureSet
    views: tuple[View, View]
    memory: memory.Memory
    placement: str


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
    return streamed(open_pictures(config), config, seed)


def open_pictures(config: cfg.Records | cfg.Pictures) -> Opened:
    """Opens a data set, and decides where its images lie.

    Args:
      config: The source, and what is seen of its pictures.

    Raises:
      DataError: If it cannot be used; the message says what helps.
    """
    found = _source(config)
    if len(found.class_names) < 2:
        raise DataError(f"config.data: {found.train.name} has {len(found.class_names)} classes, expected at least two")
    if len(set(found.class_names)) < len(found.class_names):
        raise DataError(f"config.data: two classes of {found.train.name} have the same name")
    if isinstance(config, cfg.Records):
        crop = RandomResizedCrop(
            config.image_size, config.channels, config.crop_area, config.crop_aspect, config.mirror
        )
        return Opened(found, (crop, CentreCrop.of(config)), "stream", "")
    image_shape = _image_shape(config, found.train)
    splits = [found.train, found.test] + [found.validation] * (found.validation is not None)
    count = sum(len(each) for each in splits if each is not None)
    chosen: memory.Memory
    if config.crop_area is not None:
        where = "images stay in their files, read while training"
        chosen, placement = "stream", f"{where}: config.data.crop_area draws their parts anew in each epoch"
    else:
        chosen, placement = memory.place(config.memory, count * math.prod(image_shape))
    return Opened(found, _views(config, image_shape), chosen, placement)


def decoded(opened: Opened, config: cfg.Pictures) -> Whole:
    """Decodes all pictures of a data set.

    Args:
      opened: The data set.
      config: The source.

    Raises:
      DataError: If pictures are damaged, or the images do not fit into the memory that is left.
    """
    pictures, view = opened.pictures, opened.views[0]
    train, validation, test = (
        None if part is None else decode(part, np.arange(len(part)), view)
        for part in (pictures.train, pictures.validation, pictures.test)
    )
    assert train is not None
    assert test is not None
    found = Whole(
        train,
        validation,
        test,
        pictures.class_names,
        pictures.checksum,
        pictures.warnings,
        ("device", opened.placement),
    )
    whole.check(config, found)
    return found


def streamed(opened: Opened, config: cfg.Records | cfg.Pictures, seed: int) -> Dataset:
    """Makes a data set whose images lie in the host's memory, or are read while the network trains.

    Args:
      opened: The data set.
      config: How it is split.
      seed: Seed of the experiment; decides which images are held out.

    Raises:
      DataError: If the data set does not allow the split; for images in memory, if pictures are damaged.
    """
    pictures = opened.pictures
    train, held = held_out(len(pictures.train), config, seed)
    tested = None if config.test_examples is None else subset.draw_test(config.test_examples, len(pictures.test))
    parts: dict[str, tuple[Examples | None, Int[np.ndarray, " n"] | None]] = {
        "train": (pictures.train, train),
        "validation": (pictures.validation, None) if pictures.validation is not None else (None, None),
        "test": (pictures.test, tested),
    }
    if held is not None:
        parts["validation"] = pictures.train, held
    workers = len(machine.available_cores()) if config.workers is None else config.workers

    def stream(name: str) -> Stream | None:
        examples, numbers = parts[name]
        if examples is None:
            return None
        view, shuffled = opened.views[name != "train"], name == "train"
        if opened.memory == "stream":
            return Stream(examples, numbers, view, pictures.statistics, seed, shuffled, workers, config.threads)
        chosen = np.arange(len(examples)) if numbers is None else numbers
        groups = examples.groups()
        images = decode(examples, chosen, view)
        held_images = HeldImages(images, examples.name, None if groups is None else groups[chosen])
        return Stream(held_images, None, AsHeld(images.image_shape), None, seed, shuffled, 0, config.threads)

    streams = {name: stream(name) for name in parts}
    assert streams["train"] is not None
    assert streams["test"] is not None
    members = {name: _numbers(*part) for name, part in parts.items()}
    return Dataset(
        config.name,
        streams["train"],
        streams["validation"],
        streams["test"],
        pictures.class_names,
        pictures.checksum,
        pictures.warnings,
        membership_checksum(members),
        files_checksum=pictures.files_checksum,
        placement=opened.placement or None,
    )


def held_in_memory(splits: Mapping[str, Split | None], name: str, seed: int) -> dict[str, Stream | None]:
    """Makes streams of images that lie in the host's memory: batches are put together there.

    Args:
      splits: "train", "validation" and "test" images; None for none.
      name: Name of the data set, for errors.
      seed: Seed of the experiment.
    """
    return {
        which: None
        if split is None
        else Stream(
            HeldImages(split, f"{name}, {which}"),
            None,
            AsHeld(split.image_shape, split.images.dtype.name),
            None,
            seed,
            which == "train",
            0,
        )
        for which, split in splits.items()
    }


def of_folder(
    parts: Mapping[str, FolderExamples | None], where: memory.Memory, config: cfg.ImageFolder, seed: int
) -> dict[str, Stream | None]:
    """Makes streams of picture files, which are decoded now or while the network trains.

    Args:
      parts: "train", "validation" and "test" pictures; None for none.
      where: Where the images lie, "host" or "stream".
      config: The source.
      seed: Seed of the experiment.
    """
    view = WholePicture((config.height, config.width, config.channels))
    if where == "host":
        splits = {
            name: None if part is None else decode(part, np.arange(len(part)), view) for name, part in parts.items()
        }
        return held_in_memory(splits, config.name, seed)
    workers = len(machine.available_cores()) if config.workers is None else config.workers
    return {
        name: None if part is None else Stream(part, None, view, None, seed, name == "train", workers, config.threads)
        for name, part in parts.items()
    }


def _source(config: cfg.Records | cfg.Pictures) -> PictureSet:
    match config:
        case cfg.Records():
            from cnn_jax.data.sources import records

            return records.open_folder(config)
        case cfg.Tfds():
            from cnn_jax.data.sources import tfds_set

            return tfds_set.open_set(config)
        case cfg.Parquet():
            from cnn_jax.data.sources import parquet_files

            return parquet_files.open_files(config)
        case cfg.WebDataset():
            from cnn_jax.data.sources import tar_shards

            return tar_shards.open_shards(config)


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


def _views(config: cfg.Pictures, image_shape: tuple[int, int, int]) -> tuple[View, View]:
    """Makes what is seen of training pictures, and of others."""
    if (centre := evaluation_crop(config, image_shape)) is None:
        whole = WholePicture(image_shape, resized=config.height is not None)
        return whole, whole
    if config.crop_area is None:
        return centre, centre
    side, _, channels = image_shape
    return RandomResizedCrop(side, channels, config.crop_area, config.crop_aspect, mirror=False), centre


def _numbers(examples: Examples | None, numbers: Int[np.ndarray, " n"] | None) -> Int[np.ndarray, " n"]:
    if examples is None:
        return np.arange(0)
    return np.arange(len(examples)) if numbers is None else numbers
