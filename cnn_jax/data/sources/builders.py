"""TFDS builders of our own: they write and read ArrayRecord, and need no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cnn_jax.data.sources.cifar_archive import CifarImages
from cnn_jax.data.sources.cifar_sets import HOMEPAGE, CifarSet
from cnn_jax.data.sources.named import FASHION_MNIST, MNIST, NamedSet
from cnn_jax.data.split import Split


class _IdxBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes the images and labels of a named set, one image a record, in the published order."""

    VERSION = tfds.core.Version("1.0.0")
    NAMED: NamedSet

    def __init__(self, data_dir: Path, splits: Mapping[str, Split] | None = None):
        """Opens the builder.

        Args:
          data_dir: Folder that holds <name>/<version>.
          splits: what to write; None where it is written already.
        """
        self._splits = splits or {}
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=list(self.NAMED.class_names)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
            homepage=self.NAMED.homepage,
            description=self.NAMED.description,
            citation=self.NAMED.citation,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {name: self._generate_examples(split) for name, split in self._splits.items()}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            yield number, {"image": image, "label": int(label)}


class FashionMnist(_IdxBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Fashion-MNIST."""

    name = FASHION_MNIST.name
    NAMED = FASHION_MNIST


class Mnist(_IdxBuilder, skip_registration=True):  # type: ignore[call-arg]
    """MNIST."""

    name = MNIST.name
    NAMED = MNIST


class CifarBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes CIFAR's images and labels, one image a record, in the published order."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, known: CifarSet, data_dir: Path, splits: Mapping[str, CifarImages] | None = None):
        """Opens the builder.

        Args:
          known: The data set.
          data_dir: Folder that holds <name>/<version>.
          splits: What to write; None where it is written already.
        """
        self.name, self._known, self._splits = known.name, known, splits or {}
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            "image": tfds.features.Tensor(shape=(32, 32, 3), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES)
        }
        for label in self._known.labels:
            features[label] = tfds.features.ClassLabel(names=list(self._known.class_names[label]))
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", self._known.labels[-1]),
            disable_shuffling=True,
            homepage=HOMEPAGE,
            description=self._known.description,
            citation=self._known.citation,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {name: self._generate_examples(split) for name, split in self._splits.items()}

    def _generate_examples(self, split: CifarImages) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, image in enumerate(split.images):
            labels = {name: int(values[number]) for name, values in split.labels.items()}
            yield number, {"image": image, **labels}


BUILDERS: dict[str, type[_IdxBuilder]] = {FASHION_MNIST.name: FashionMnist, MNIST.name: Mnist}
