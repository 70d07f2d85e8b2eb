"""Blocks of the documentation that train, or need prepared data, run as they are: `make test-docs`.

A page's blocks run in their order, in a folder that has what the page names. Trainings and sweeps take 64 images.
"""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support import quick_programs
from support.doc_blocks import PAGES, ROOT, blocks, commands, fault
from test_docs import RUN_WITH_DATA

from cnn_jax.cli.main import main
from cnn_jax.run.exit_codes import DONE

RUN = "runs/fashion_mnist-1c2d3e4f"
SMALL = ["--config.data.train_examples=64", "--config.data.test_examples=32"]
ELSEWHERE = {"docs/tpu.md": "tests/scripts/test_tpu_docs.py"}
LEFT_OUT = [block for page in PAGES for block in blocks(page) if block.not_run]


def to_run():
    """Pages that have blocks to run here, and these blocks."""
    pages = {}
    for page in PAGES.keys() - ELSEWHERE.keys():
        languages = {"bash", "python"} if page in RUN_WITH_DATA else {"bash"}
        found = [each for each in blocks(page) if each.language in languages and not each.not_run]
        # Lists of fields and parts of a config are read in test_docs.py.
        pages[page] = [each for each in found if not each.text.startswith(('"', "--"))]
    return {page: found for page, found in sorted(pages.items()) if found}


@pytest.fixture(scope="session")
def grey_run(tmp_path_factory):
    """A run on Fashion-MNIST."""
    folder = tmp_path_factory.mktemp("runs") / "grey"
    assert main(["train", f"--config={ROOT}/experiments/fashion_mnist.py", f"--workdir={folder}", *SMALL]) == DONE
    return folder


@pytest.fixture(scope="session")
def moved_run(tmp_path_factory, jpegs):
    """A run on folders of pictures, which have been moved since to the folder `moved` beside it."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(jpegs / "train", folder / "pictures")
    fields = ["name=image_folder", f"train_dir={folder}/pictures", "height=28", "width=28", "channels=3"]
    data = [f"--config.data.{field}" for field in fields]
    config = f"--config={ROOT}/experiments/fashion_mnist.py"
    words = [config, f"--workdir={folder}/run", "--noreport", "--config.train.batch_size=32", *data]
    assert main(["train", *words]) == DONE
    (folder / "pictures").rename(folder / "moved")
    return folder / "run"


@pytest.fixture
def folder(page, tmp_path, monkeypatch, request):
    """The current folder, with all that the page names."""
    named = " ".join(block.text for block in to_run()[page])
    rng = np.random.default_rng(0)
    for name in ("experiments", "launch.py", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("pictures", "folder", "PICTURES", "runs", "copied", "moved"):
        (tmp_path / name).mkdir()
    for name in ("photo.jpg", "pictures/one.png", "folder/two.png"):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "kernel.csv").write_text("0,1,0\n1,-4,1\n0,1,0\n")
    if RUN in named or "--workdir=RUN" in named:
        shutil.copytree(request.getfixturevalue("grey_run"), tmp_path / RUN)
        (tmp_path / "RUN").symlink_to(tmp_path / RUN)
    if "runs/first" in named:
        for name in ("first", "second"):
            shutil.copytree(request.getfixturevalue("grey_run"), tmp_path / "runs" / name)
    if "copied/run" in named:
        run = request.getfixturevalue("moved_run")
        shutil.copytree(run, tmp_path / "copied/run")
        (tmp_path / "moved/train").symlink_to(run.with_name("moved"))
    if "PICTURES" in named:
        for split in ("train", "val"):
            (tmp_path / "PICTURES" / split).symlink_to(request.getfixturevalue("jpegs") / split)
    if '"imagenet"' in named:
        (tmp_path / "imagenet").symlink_to(request.getfixturevalue("records_folder"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", to_run())
def test_the_blocks_of_a_page_run(page, folder):
    namespace = {"__name__": page}
    for block in to_run()[page]:
        start = time.perf_counter()
        if block.language == "python":
            said = fault(block, namespace)
            assert not said, said
        else:
            found = [run_of_make(words) if words[0] == "make" else words[1:] for words in commands(block, folder)]
            assert found, f"{block.name}: no command"
            (run_at_once if "--distributed=explicit" in block.text else run_in_turn)(block, found)
        print(f"{block.name}: {time.perf_counter() - start:.1f} s")


def run_of_make(words):
    """The command line of `make train`; `make test` is what CI runs itself."""
    if words == ["make", "test"]:
        assert "\nmake test\n" in (ROOT / ".ci/run").read_text()
        return []
    assert words[1] == "train"
    shown = subprocess.run(
        [*words, "--dry-run", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return shown.splitlines()[-1].split()[1:]


def run_in_turn(block, found):
    """Runs command lines one after another."""
    for words in filter(None, found):
        assert words[0] == "launch.py", f"{block.name}: {words}"
        repeats = words[1] in ("train", "sweep") and not any(word.startswith("--from=") for word in words)
        shutil.rmtree("FOLDER", ignore_errors=True)  # of `prepare`, which makes it anew
        words = [*words, *SMALL * repeats]
        # A sweep starts processes, and is one of its own, without this one's threads.
        alone = words[1] == "sweep"
        environment = quick_programs.environment(os.environ)
        code = subprocess.run([sys.executable, *words], env=environment).returncode if alone else main(words[1:])
        assert code == DONE, f"{block.name}: {words}"


def run_at_once(block, found):
    """Runs command lines of processes that wait for each other."""
    # Platforms' own discovery of processes is not wanted, nor are this process's devices.
    environment = quick_programs.environment(os.environ)
    started = [subprocess.Popen([sys.executable, *words, *SMALL, "--noreport"], env=environment) for words in found]
    assert [each.wait(timeout=600) for each in started] == [DONE] * len(started), block.name


def test_what_is_left_out_is_listed(capsys):
    assert all(block.not_run.strip() and "-->" not in block.not_run for block in LEFT_OUT)
    with capsys.disabled():
        print(f"\nnot run here, {len(LEFT_OUT)} blocks:")
        for block in LEFT_OUT:
            print(f"  {block.name}: {block.not_run}")
