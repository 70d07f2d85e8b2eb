"""The notebook docs/tutorial.ipynb: its cells run, its outputs name no machine, its first cell installs."""

import importlib.util
import json
import subprocess
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from scripts.docs.notebook import machine_paths

NOTEBOOK = Path(__file__).parents[1] / "docs/tutorial.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
DATA, EPOCHS = 'DATA = {"name": "fashion_mnist", "normalize": "scale"}', "EPOCHS = 3"


@pytest.fixture
def squares(tmp_path):
    """The config's `data` section for 28x28 pictures of bright squares, in ten places for ten classes."""
    section = {"name": "idx", "normalize": "scale"}
    for split, count in (("train", 320), ("test", 100)):
        labels = np.arange(count) % 10
        images = np.random.default_rng(count).integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 5)
            image[14 * row : 14 * row + 9, 5 * column : 5 * column + 6] += 180
        for kind, array in (("images", images), ("labels", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (tmp_path / f"{split}-{kind}").write_bytes(header + array.astype(np.uint8).tobytes())
            section[f"{split}_{kind}"] = str(tmp_path / f"{split}-{kind}")
    return section


def test_all_cells_run(squares, monkeypatch, capsys):
    matplotlib.use("agg")
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf()))
    source = "\n\n".join(CODE)
    assert source.count(DATA) == source.count(EPOCHS) == 1
    source = source.replace(DATA, f"DATA = {squares!r}").replace(EPOCHS, "EPOCHS = 1")
    namespace = {"__name__": "tutorial"}
    try:
        with plt.rc_context():
            exec(compile(source, NOTEBOOK.name, "exec"), namespace)
    finally:
        plt.close("all")
    assert len(drawn) == source.count("plt.show()") == 8
    assert 0 <= namespace["result"]["test_accuracy"] <= 1
    printed = capsys.readouterr().out
    assert "93,322 parameters" in printed
    assert "config.model.paddings: unknown field; did you mean config.model.padding?" in printed


def test_the_first_cell_installs_where_the_project_is_missing(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda words, check: started.append(words))
    monkeypatch.chdir(NOTEBOOK.parent)
    exec(CODE[0], {})
    assert started[0][1:] == ["-m", "pip", "install", "--quiet", ".."]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="cnn_jax is not installed: set SOURCE above to"):
        exec(CODE[0], {})
    exec(CODE[0].replace('SOURCE = ""', 'SOURCE = "cnn_jax.whl"'), {})
    assert started[1][-1] == "cnn_jax.whl"


def test_the_outputs_are_there_and_name_no_paths_of_a_machine():
    outputs = [output for cell in CELLS for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 8
    assert list(machine_paths(CELLS)) == []
    assert list(machine_paths([{"outputs": [{"text": ["in /home/me/run: done"]}]}])) == ["/home/me/run"]
    assert NOTEBOOK.stat().st_size < 400_000
