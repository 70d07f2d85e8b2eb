"""Every test image of every source of pictures and arrays is seen by `predict` as evaluation sees it, to the bit."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_webdataset
from PIL import Image
from samples import SAMPLES
from test_npz_file import arrays, written

from cnn_jax import data
from cnn_jax.config.parsing import parse
from cnn_jax.data.host import picture
from cnn_jax.data.sources import pictures
from cnn_jax.report import prediction


class Recorder:
    """A network that keeps what it is given."""

    def __init__(self, experiment, dataset):
        self.experiment, self.image_shape, self.dtype = experiment, dataset.image_shape, dataset.dtype
        self.class_names, self.images = dataset.class_names, []

    def probabilities(self, images):
        self.images.append(images.copy())
        return np.eye(len(self.class_names), dtype=np.float32)[np.zeros(len(images), int)]


def predicted(section, folder):
    """The pixels of a config's test images, and of the files in a folder as `predict` reads them."""
    experiment = parse({"data": section, "train": {"eval_batch_size": 3}})
    dataset = data.load(experiment.data, 0)
    network = Recorder(experiment, dataset)
    files, passed_over = prediction.find_pictures([folder], experiment.data)
    assert not passed_over
    rows = list(prediction.predict(network, files))
    assert all(isinstance(row, prediction.Prediction) for row in rows), rows
    test = dataset.test
    expected = test.images if isinstance(test, data.Split) else test.some(len(test)).images
    counts = [min(3, len(rows) - start) for start in range(0, len(rows), 3)]
    return expected, np.concatenate([images[:n] for images, n in zip(network.images, counts, strict=True)])


@pytest.mark.parametrize(
    ("pixels", "channels", "value_range"), [("uint8", 3, None), ("uint16", 13, None), ("float32", 4, (0, 255))]
)
def test_npz(tmp_path, pixels, channels, value_range):
    given = arrays(np.dtype(pixels), channels)
    path = written(tmp_path / "a.npz", given)
    (tmp_path / "test").mkdir()
    for number, image in enumerate(given["x_test"]):
        np.save(tmp_path / "test" / f"{number}.npy", image)
    expected, seen = predicted({"name": "npz", "file": str(path), "value_range": value_range}, tmp_path / "test")
    assert seen.dtype == expected.dtype
    np.testing.assert_array_equal(seen, expected)


VIEWS = {
    "whole": {},
    "resized": {"height": 7, "width": 9, "channels": 1},
    "middle": {"height": 8, "width": 8, "shorter_side": 10},
    "crops": {"height": 8, "width": 8, "crop_area": (0.3, 1.0), "workers": 0},
    "streamed": {"memory": "stream", "workers": 0},
}
SOURCES = {
    "tfds": {"dataset": "smooth/jpeg", "data_dir": str(SAMPLES / "tfds")},
    "parquet": {"folder": str(SAMPLES / "parquet")},
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("source", SOURCES)
def test_pictures(tmp_path, source, view):
    section = {"name": source} | SOURCES[source] | VIEWS[view]
    examples = pictures.open_pictures(parse({"data": section}).data).test
    for number in range(len(examples)):
        (tmp_path / f"{number}.png").write_bytes(examples[number].picture)
    expected, seen = predicted(section, tmp_path)
    assert expected.std() > 1
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("kind", picture.FORMATS)
def test_every_format_everywhere(tmp_path, kind):
    """Folders, tar files, Parquet and `predict` read each format as Pillow decodes it."""
    suffix = "." + kind.lower()
    assert suffix in (*picture.SUFFIXES, ".tiff")
    drawn = np.random.default_rng(5).integers(0, 256, (4, 8, 6, 3), np.uint8)
    contents = []
    for pixels in drawn:
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, kind, **({"lossless": True} if kind == "WEBP" else {}))
        contents.append(content.getvalue())
    with_pillow = []
    for number, content in enumerate(contents):
        for split in ("train", "test"):
            file = tmp_path / "folder" / split / "ab"[number % 2] / f"{number}{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with Image.open(io.BytesIO(content)) as opened:
            with_pillow.append(np.asarray(opened.convert("RGB")))
    expected = np.stack(with_pillow)
    if kind not in ("JPEG", "AVIF", "GIF"):
        np.testing.assert_array_equal(expected, drawn)
    tars = {f"{n}{suffix}": content for n, content in enumerate(contents)}
    tars |= {f"{n}.cls": str(n % 2).encode() for n in range(4)}
    (tmp_path / "tars").mkdir()
    (tmp_path / "rows").mkdir()
    for split in ("train", "test"):
        test_webdataset.write(tmp_path / "tars" / f"{split}.tar", tars)
        table = pa.table({"image": [{"bytes": content} for content in contents], "label": [0, 1, 0, 1]})
        pq.write_table(table, tmp_path / "rows" / f"{split}.parquet")
    folder = tmp_path / "folder"
    sections = [
        {"name": "image_folder", "train_dir": f"{folder}/train", "test_dir": f"{folder}/test", "height": 8, "width": 6},
        {"name": "webdataset", "folder": str(tmp_path / "tars")},
        {"name": "parquet", "folder": str(tmp_path / "rows")},
    ]
    for section in sections:
        test = data.load(parse({"data": section}).data, 0).test
        order = np.argsort([0, 2, 1, 3]) if section["name"] == "image_folder" else np.arange(4)
        np.testing.assert_array_equal(test.images[order], expected)
    _, seen = predicted(sections[0], folder / "test")
    np.testing.assert_array_equal(seen[np.argsort([0, 2, 1, 3])], expected)
