"""Input of `inspect`: a finished run's network, pictures, classes and layers, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.device import pipeline
from cnn_jax.data.host import picture
from cnn_jax.data.host.picture import UnreadablePictureError
from cnn_jax.data.sources import listing
from cnn_jax.data.sources.evaluation_picture import read_picture
from cnn_jax.data.split import Split
from cnn_jax.inspect import layer_choice
from cnn_jax.inspect.feature_maps import layer_outputs
from cnn_jax.inspect.inspect_request import SECTIONS, SLOW, InspectRequest, Rule, SectionName
from cnn_jax.inspect.map_pictures import strongest_channels
from cnn_jax.inspect.reconstruction import chosen_rules
from cnn_jax.layer_rows import ACTIVATION
from cnn_jax.models import Model, Variables
from cnn_jax.plain_text import shortened
from cnn_jax.report.prediction import find_pictures
from cnn_jax.run.errors import RunFailed
from cnn_jax.train import restore
from cnn_jax.train.restore import FinishedRun
from cnn_jax.words import did_you_mean

if TYPE_CHECKING:
    from cnn_jax.data.sources.stream import Stream

STANDARD_LAYERS = 5
_STANDARD_PICTURES = 4  # test images to show if no pictures are given
_MOST_PICTURES = 16
_MOST_PAIRS = 64  # maximum number of pairs of a picture and a class
_LARGE = 1e9  # multiply-adds per image above which a network counts as large
_TEST_WORK = 1.5e11  # multiply-adds of one pass over the test images used
_LEAST_TEST_IMAGES = 32
_MOST_SEARCHED = 1000  # test images searched for the first of each class
_NAME = 60  # maximum characters of a class name
_NEED_DATA = ("patches", "behaviour")


@dataclasses.dataclass(frozen=True)
class Source:
    """Sources of the network and the pictures.

    Attributes:
      workdir: Folder of the run.
      moved: New locations of the run's data, by field of config.data.
      data_dir: Folder of prepared data; None is the default folder.
      images: Picture files and folders of pictures; empty for test images.
    """

    workdir: Path
    moved: dict[str, str] = dataclasses.field(default_factory=dict)
    data_dir: Path | None = None
    images: tuple[Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class SeenPicture:
    """A picture given to the network.

    Attributes:
      title: Name, such as "picture 1".
      name: File, or description of the test image.
      original: Pixels as shown by a viewer, upright.
      pixels: Input pixels of the network, 0 to 255, before normalisation.
      changes: Description of the changes that made the picture fit; empty if none were needed.
      label: True class; None if unknown.
    """

    title: str
    name: str
    original: UInt8[np.ndarray, "oh ow oc"]
    pixels: UInt8[np.ndarray, "h w c"]
    changes: str = ""
    label: int | None = None


@dataclasses.dataclass(frozen=True)
class Subject:
    """Everything that the sections of the page use.

    Attributes:
      run: The finished run.
      request: Request of the command line.
      pictures: Pictures in order.
      asked_classes: Numbers of the requested classes; empty for the predicted ones.
      layers: Names of the layers.
      sections: Sections of the page.
      test: Test images; None if no section needs them.
      test_numbers: Indices of the test images used, evenly spaced.
    """

    run: FinishedRun
    request: InspectRequest
    pictures: tuple[SeenPicture, ...]
    asked_classes: tuple[int, ...]
    layers: tuple[str, ...]
    sections: tuple[SectionName, ...]
    test: Split | Stream | None
    test_numbers: Int[np.ndarray, " n"]

    @functools.cached_property
    def model(self) -> Model:
        return self.run.config.network

    @property
    def variables(self) -> Variables:
        return self.run.variables

    @functools.cached_property
    def images(self) -> Float[np.ndarray, "p h w c"]:
        """The pictures, normalised."""
        return np.asarray(self.normalized(np.stack([each.pixels for each in self.pictures])))

    def normalized(self, pixels: UInt8[np.ndarray, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises pixels with the run's constants."""
        return pipeline.normalize(jnp.asarray(pixels), self.run.normalization)

    def test_images(self, count: int) -> Split:
        """Reads evenly spaced test images.

        Args:
          count: Maximum number of images.

        Returns:
          The images, in memory.
        """
        assert self.test is not None
        return _read_images(self.test, _evenly_spaced(self.test_numbers, count))

    def test_batches(self, size: int) -> Iterator[Split]:
        """Reads all test images used, in batches."""
        assert self.test is not None
        for start in range(0, len(self.test_numbers), size):
            yield _read_images(self.test, self.test_numbers[start : start + size])

    @functools.cached_property
    def probabilities(self) -> Float[np.ndarray, "p k"]:
        """Probabilities of all classes for each picture."""
        return self.run.probabilities(np.stack([each.pixels for each in self.pictures]))

    @functools.cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs (index of a picture, class number)."""
        return tuple(
            (place, number)
            for place, row in enumerate(self.probabilities)
            for number in (self.asked_classes or (int(row.argmax()),))
        )

    @functools.cached_property
    def channel_counts(self) -> dict[str, int]:
        """Number of channels of each layer."""
        return _channel_counts(self.model, self.run.image_shape, self.layers)

    @functools.cached_property
    def outputs(self) -> dict[str, Float[np.ndarray, "p ..."]]:
        """Outputs of the layers for the pictures.

        Raises:
          RunFailed: If a value is not finite.
        """
        outputs = layer_outputs(self.model, self.variables, self.images, self.layers)
        for name, each in outputs.items():
            if not np.isfinite(each).all():
                raise RunFailed(f"layer {name} gives values that are not finite: the network is damaged")
        return outputs

    def channels(self, layer: str, count: int) -> list[int]:
        """Returns the requested channels of a layer, or those that respond most to the pictures."""
        if asked := [channel for channel in self.request.channels if channel < self.channel_counts[layer]]:
            return asked
        return strongest_channels(self.outputs[layer], count).tolist()

    @functools.cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass of one image."""
        return _multiply_adds(self.run)

    @property
    def large(self) -> bool:
        """Whether the network is so large that less is computed by default."""
        return self.multiply_adds > _LARGE

    def class_name(self, number: int) -> str:
        """Returns the name of a class for the page."""
        return shortened(self.run.class_names[number], _NAME) or f"class {number}"


def open_subject(source: Source, request: InspectRequest) -> Subject:
    """Opens the run and reads the pictures.

    Args:
      source: Sources of the run and the pictures.
      request: Request of the command line.

    Returns:
      The subject.

    Raises:
      ConfigError: If a layer, channel, class or picture cannot be used.
      DataError: If a path is missing, or the run's images are not available.
      RunFolderError: If there is no finished run.
    """
    run = restore.load(source.workdir, source.moved)
    faults: list[str] = []
    model = run.config.network
    layers = request.layers
    try:
        layer_choice.check_names(model, run.image_shape, layers)
        layers = layers or layer_choice.standard_layers(model, run.image_shape, STANDARD_LAYERS)
        faults += _channel_faults(request.channels, _channel_counts(model, run.image_shape, layers))
    except layer_choice.UnknownLayerError as error:
        faults.append(f"--layers: {error}")
    classes, class_faults = _class_numbers(request.classes, run.class_names)
    if faults := faults + class_faults + _rule_faults(request.rules, run):
        raise ConfigError(faults)
    files, _ = find_pictures(source.images, run.experiment.data) if source.images else ([], ())
    if len(files) > _MOST_PICTURES:
        raise ConfigError([f"--images: {len(files)} pictures, expected at most {_MOST_PICTURES}; name some files"])
    pairs = (len(files) or _STANDARD_PICTURES) * len(classes)
    if pairs > _MOST_PAIRS:
        raise ConfigError([f"--classes: {pairs} pairs of a picture and a class, expected at most {_MOST_PAIRS}"])
    pictures = _read_pictures(files, run)
    slow = SLOW if _multiply_adds(run) > _LARGE else ()
    sections = request.sections or tuple(name for name in SECTIONS if name not in slow)
    test, numbers = None, np.arange(0)
    if not files or source.moved or any(name in sections for name in _NEED_DATA):
        test = run.dataset(source.data_dir).test
        count = len(test) if request.test_images == 0 else request.test_images or _default_test_images(run)
        numbers = _evenly_spaced(np.arange(len(test)), count)
        if len(numbers) < 2 and "behaviour" in sections:
            raise ConfigError(["--test_images: the section behaviour compares images, expected at least 2"])
        if not files:
            pictures = _first_of_classes(_read_images(test, _evenly_spaced(numbers, _MOST_SEARCHED)), run.class_names)
    return Subject(run, request, pictures, classes, layers, sections, test, numbers)


def _class_numbers(words: Sequence[str], names: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """Returns the numbers of the given classes, and error messages."""
    numbers: list[int] = []
    faults = []
    for word in words:
        parts = [word] if _class_number(word, names) is not None else [part.strip() for part in word.split(",")]
        for part in filter(None, parts):
            number = _class_number(part, names)
            if number is not None:
                numbers.append(number)
                continue
            meant = did_you_mean(part, names)
            known = f"one of {', '.join(names)}" if len(names) <= 20 else "the name of a class"
            faults.append(f"--classes: got {part!r}, expected {known}, or a number from 0 to {len(names) - 1}{meant}")
    return tuple(dict.fromkeys(numbers)), faults


def _class_number(word: str, names: Sequence[str]) -> int | None:
    if word in names:
        return names.index(word)
    if word.isascii() and word.isdecimal() and int(word) < len(names):
        return int(word)
    alike = [number for number, name in enumerate(names) if name.lower() == word.lower()]
    return alike[0] if len(alike) == 1 else None


def _channel_counts(model: Model, image_shape: tuple[int, int, int], layers: Sequence[str]) -> dict[str, int]:
    rows = {row.name: row for row in model.layers(image_shape)}
    return {name: rows[name.removesuffix(ACTIVATION)].output_shape[-1] for name in layers}


def _channel_faults(channels: Sequence[int], counts: dict[str, int]) -> list[str]:
    """Returns an error message if no layer has one of the channels."""
    if not (wrong := [channel for channel in channels if channel >= max(counts.values())]):
        return []
    have = ", ".join(f"{name} has {count}" for name, count in counts.items())
    return [f"--channels: got {wrong[0]}, and no layer that is shown has such a channel: {have}, counted from 0"]


def _rule_faults(rules: Sequence[Rule], run: FinishedRun) -> list[str]:
    """Returns an error message if rules for rectifiers are requested for a network without rectifiers."""
    if not rules:
        return []
    try:
        chosen_rules(run.config.network, run.variables, np.zeros((1, *run.image_shape), np.float32), rules)
    except ValueError as error:
        return [f"--rules: {error}"]
    return []


def _read_pictures(files: Sequence[Path], run: FinishedRun) -> tuple[SeenPicture, ...]:
    """Reads pictures as evaluation does, and as a viewer shows them."""
    faults, pictures = [], []
    for number, file in enumerate(files, 1):
        name = listing.as_text(file)
        try:
            pixels, changes = read_picture(file, run.experiment.data, run.image_shape, run.dtype)
            original = pixels
            if changes:
                with picture.open_picture(file) as opened:
                    original = picture.upright(opened, "RGB")[0]
        except UnreadablePictureError as error:
            reason = listing.as_text(str(error))
            faults.append(f"--images: {reason}" if name in reason else f"--images: {name}: {reason}")
            continue
        pictures.append(SeenPicture(f"picture {number}", name, original, pixels, changes))
    if faults:
        raise ConfigError(faults)
    return tuple(pictures)


def _default_test_images(run: FinishedRun) -> int:
    """Default number of test images: as many as a network of this size processes in a few seconds."""
    return max(_LEAST_TEST_IMAGES, int(_TEST_WORK / max(1, _multiply_adds(run))))


def _multiply_adds(run: FinishedRun) -> int:
    return sum(row.multiply_adds for row in run.config.network.layers(run.image_shape))


def _evenly_spaced(numbers: Int[np.ndarray, " n"], count: int) -> Int[np.ndarray, " m"]:
    """Returns `count` evenly spaced numbers, or all if there are fewer."""
    return numbers if count >= len(numbers) else numbers[np.arange(count) * len(numbers) // count]


def _read_images(test: Split | Stream, numbers: Int[np.ndarray, " n"]) -> Split:
    """Reads some test images into memory."""
    if isinstance(test, Split):
        return Split(test.images[numbers], test.labels[numbers])
    chosen = numbers if test.numbers is None else test.numbers[numbers]
    return dataclasses.replace(test, numbers=chosen).some(len(chosen))


def _first_of_classes(test: Split, names: Sequence[str]) -> tuple[SeenPicture, ...]:
    """Returns the first test image of each of the first classes."""
    _, firsts = np.unique(test.labels, return_index=True)
    pictures = []
    for number, place in enumerate(firsts[:_STANDARD_PICTURES], 1):
        label = int(test.labels[place])
        name = f"the first test image of the class {shortened(names[label], _NAME)}"
        pixels = test.images[place]
        pictures.append(SeenPicture(f"picture {number}", name, pixels, pixels, label=label))
    return tuple(pictures)
