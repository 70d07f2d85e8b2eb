"""A TFDS set written by TensorFlow, and a Parquet set written by Hugging Face datasets.

Run by the Python that has them: `python -c "from peers import data_sets; data_sets.write('FOLDER')"` writes the folders
tfds and parquet, and pixels.npz, the pixels as TensorFlow and Pillow decode them there.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

COUNTS = {"train": 10, "test": 4}
SIDE = 12
NAMES = ("cat", "dog", "boat")


def drawn(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Smooth colour pictures, which JPEG keeps nearly, and their labels."""
    rng = np.random.default_rng(len(split))
    coarse = rng.integers(40, 216, (COUNTS[split], 3, 3, 3)).astype(np.float64)
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)
    return np.rint(fine + rng.uniform(-6, 6, fine.shape)).astype(np.uint8), np.arange(COUNTS[split]) % len(NAMES)


def write_tfds(folder: Path) -> dict[str, np.ndarray]:
    """Writes the set as ArrayRecord files, one config with PNGs and one with JPEGs."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    class Config(tfds.core.BuilderConfig):
        encoding = "png"

    class Smooth(tfds.core.GeneratorBasedBuilder):
        name = "smooth"
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS: ClassVar = [Config(name="png"), Config(name="jpeg")]

        def _info(self):
            features = {
                "image": tfds.features.Image(
                    shape=(SIDE, SIDE, 3), dtype=np.uint8, encoding_format=self.builder_config.name
                ),
                "raw": tfds.features.Tensor(shape=(SIDE, SIDE, 3), dtype=np.uint8),
                "label": tfds.features.ClassLabel(names=list(NAMES)),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in COUNTS}

        def _generate_examples(self, split):
            for number, (image, label) in enumerate(zip(*drawn(split), strict=True)):
                yield number, {"image": image, "raw": image, "label": int(label)}

    def accurate(content: bytes) -> tf.Tensor:
        return tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE")

    pixels = {}
    for kind in ("png", "jpeg"):
        builder = Smooth(config=kind, data_dir=str(folder), file_format="array_record")
        builder.download_and_prepare()
        for split in COUNTS:
            source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
            # TensorFlow's default for JPEGs, INTEGER_FAST, is up to 8 of 255 off the format's own transform.
            decode = tf.io.decode_png if kind == "png" else accurate
            pixels[f"tfds_{kind}_{split}"] = np.stack([decode(record["image"]).numpy() for record in source])
    return pixels


def write_parquet(folder: Path) -> dict[str, np.ndarray]:
    """Writes the set as the Hub keeps it: pictures as PNG in {bytes, path}, labels with the classes' names."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    pixels = {}
    (folder / "data").mkdir(parents=True)
    for split in COUNTS:
        images, labels = drawn(split)
        rows = {"image": list(images), "label": labels.tolist()}
        written = datasets.Dataset.from_dict(rows, features=features)
        written.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"), batch_size=4)
        read = datasets.Dataset.from_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
        pixels[f"parquet_{split}"] = np.stack([np.asarray(row["image"]) for row in read])
    return pixels


def write(target: str) -> None:
    """Writes all of it."""
    folder = Path(target)
    pixels = write_tfds(folder / "tfds") | write_parquet(folder / "parquet")
    np.savez_compressed(folder / "pixels.npz", **pixels)
