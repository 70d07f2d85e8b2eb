"""TFDS builders of our own: they write and read ArrayRecord, and need no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

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


BUILDERS: dict[str, type[_IdxBuilder]] = {FASHION_MNIST.name: FashionMnist, MNIST.name: Mnist}
