"""Small data sets as files on disk: lines, which a network learns in seconds, and JPEGs of ImageNet's shapes.

Browser tests run where there is a browser; elsewhere a line says that they were left out.
"""

import gc
import gzip
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from selenium import webdriver
from support import quick_programs

from cnn_jax.data.sources import prepare_records
from cnn_jax.run.machine import available_cores
from scripts import imagenet_shaped

quick_programs.compile_quickly()
jax.config.update("jax_traceback_filtering", "off")  # it takes a third of the time of a refused geometry


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes unsigned bytes in the IDX format: magic number, sizes, content."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def lines(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy 10x10 pictures of a vertical line (0), a horizontal one (1) or both (2)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 90, (count, 10, 10))
    for image, label, place in zip(images, labels, rng.integers(1, 9, (count, 2)), strict=True):
        if label != 1:
            image[:, place[0]] += 150
        if label != 0:
            image[place[1], :] += 150
    return np.minimum(images, 255).astype(np.uint8), labels.astype(np.uint8)


@pytest.fixture(scope="module")
def programs_of_a_run():
    """The training loop compiles as it does for users: for tests of a run's bits."""
    from cnn_jax import compilation  # only now: its array functions have their shapes checked

    options = compilation.options()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "options", lambda: {**(quick_programs.DEFAULTS or {}), **options})
        yield


@pytest.fixture(scope="session")
def line_data(tmp_path_factory) -> dict[str, object]:
    """The config's `data` section for 500 training and 150 test pictures of lines."""
    folder = tmp_path_factory.mktemp("lines")
    fields: dict[str, object] = {"name": "idx", "class_names": ("vertical", "horizontal", "both")}
    for split, count in (("train", 500), ("test", 150)):
        images, labels = lines(count, seed=len(split))
        for kind, array in (("images", images), ("labels", labels)):
            path = folder / f"{split}-{kind}"
            write_idx(path, array)
            fields[f"{split}_{kind}"] = str(path)
    return fields


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory):
    """train/ and val/ with 54 and 6 JPEGs of three classes."""
    folder = tmp_path_factory.mktemp("jpegs")
    imagenet_shaped.main([f"--target={folder}", "--pictures=60", "--classes=3", "--scale=0.2"])
    return folder


@pytest.fixture(scope="session")
def records_folder(jpegs):
    """The JPEGs' records; a fifth of the training pictures is for test."""
    return prepare_records.prepare(jpegs, jpegs / "records", test_fraction=0.2)


@pytest.fixture(scope="module", autouse=True)
def lasting_objects():
    """Keeps the garbage collector from going through all modules and programs again and again."""
    gc.freeze()
    yield
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--every", type=int, default=7, help="every how many moments of tests/test_faults.py are taken")
    parser.addoption("--exhaustive", action="store_true", help="run the cases marked `exhaustive` too")


@pytest.fixture(scope="session")
def every(request) -> int:
    """Every how many moments are taken."""
    return request.config.getoption("--every")


# Tests of half a minute, which come first, so that no worker is left with one of them when the others have ended.
LONGEST = ("test_sharding.py", "test_ray.py", "test_distributed.py", "test_interruptions.py", "test_sweep.py")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Gives one worker more than there are cores, since some tests wait for other processes."""
    return len(available_cores()) + 1


def deselect(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
    """Takes `left_out` from the `items` to run, and has pytest count them as deselected."""
    config.hook.pytest_deselected(items=left_out)
    kept = set(items).difference(left_out)
    items[:] = [item for item in items if item in kept]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if not config.getoption("--exhaustive"):
        deselect(config, items, [item for item in items if item.get_closest_marker("exhaustive")])
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return
    left_out = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    if left_out:
        deselect(config, items, left_out)
        print(f"\nno chromium and chromedriver on the PATH: {len(left_out)} browser tests left out")


@pytest.fixture(scope="session")
def browser():
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = str(shutil.which("chromium"))
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
