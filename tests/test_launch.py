"""The command line as its users meet it: verbs end to end, exit codes, refusals."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.cli import main as launch

ROOT = Path(__file__).parent.parent
SMALL = """
def get_config():
    return {{
        "data": {data!r},
        "model": {{"features": (8, 8), "pooling": ("max", "none"), "dense": (16,)}},
        "optimizer": {{"learning_rate": 3e-3}},
        "train": {{"epochs": 4, "batch_size": 32, "steps_per_dispatch": 6}},
        "log": {{"tensorboard": False}},
    }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, line_data):
    """A folder with an experiment file, a finished run, and files that are wrong each in its own way."""
    folder = tmp_path_factory.mktemp("launch")
    files = {
        "small.py": SMALL.format(data=line_data),
        "without.py": "EPOCHS = 5\n",
        "syntax.py": "def get_config(:\n",
        "raises.py": "def get_config():\n    return {}['epochs']\n",
        "list.py": "def get_config():\n    return [1, 2]\n",
        "config.json": "[1, 2]",
        "text.png": "no picture",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    for name in ("empty", "folder.py", "folder.csv", "foreign"):
        (folder / name).mkdir()
    (folder / "foreign" / "thesis.txt").write_text("mine")
    (folder / "cut").write_bytes(Path(line_data["train_images"]).read_bytes()[:-7])
    assert launch.main(["train", f"--config={folder}/small.py", f"--workdir={folder}/run", "--noreport"]) == 0
    return folder


# Each: the words of the command line, then what the message must say: the field or flag, and what helps.
# {small} is an experiment file that is right, {run} a finished run, {folder} where all files lie.
TRAIN = "train --config={small} "
REFUSED = [
    # verbs and flags
    ("tarin --config={small}", "verb: got 'tarin'", "did you mean 'train'"),
    ("--config={small}", "verb: got ''", "expected one of: train, eval"),
    ("train", "--config: train needs it"),
    ("train --confg={small}", "--confg: unknown flag", "did you mean 'config'"),
    (TRAIN + "--images=x.png", "--images: not a flag of train"),
    (TRAIN + "more", "'more': unexpected word"),
    ("predict --workdir={folder} --images a.png b.png", "'b.png': unexpected word", "repeat --images for each file"),
    ("summary --config={small} --output={folder}/folder.csv", "--output", "folder.csv is a folder"),
    (TRAIN + "-workdir=x", "'-workdir=x': unexpected word", "--name=value"),
    (TRAIN + "--config.seed", "--config.seed: no value given"),
    (TRAIN + "--workdir=", "--workdir: empty"),
    (TRAIN + "--report=perhaps", "--report", "perhaps"),
    ("eval", "--workdir: eval needs it"),
    ("eval --workdir={run} --config.seed=1", "--config.seed: eval takes no config"),
    ("summary --config={small} --format=yaml", "--format", "yaml", "table"),
    ("summary --config={small} --output=layers.txt", "--output: got 'layers.txt'", ".json or .csv"),
    ("prepare --target={folder}/x", "--source: prepare needs it"),
    ("prepare --source={folder} --config={small}", "--config: not a flag of prepare"),
    ("prepare --source={folder} --target={folder}/x --test_fraction=2", "--test_fraction", "2"),
    # files and folders
    ("prepare --source={folder}/none --target={folder}/x", "--source: there is no folder"),
    ("prepare --source={folder} --target={folder}/foreign", "--target: ", "is there, and not empty"),
    ("train --config={folder}/smal.py", "--config: there is no file", "did you mean", "small.py"),
    ("train --config=experiments/fashion_mnst.py", "--config: there is no file", "experiments/fashion_mnist.py"),
    ("train --config={folder}/config.json", "--config: ", "holds no JSON object of fields"),
    ("train --config={folder}/text.png", "--config: got", "expected a Python file with get_config()"),
    ("train --config={folder}/folder.py", "--config: there is no file"),
    ("train --config={folder}/without.py", "--config", "has no function get_config()"),
    ("train --config={folder}/syntax.py", "--config", "SyntaxError", "syntax.py"),
    ("train --config={folder}/raises.py", "--config", "KeyError: 'epochs' (raises.py:2)"),
    ("train --config={folder}/list.py", "--config", "[1, 2]", "expected a dictionary or an Experiment"),
    (TRAIN + "--workdir={small}/run", "--workdir: cannot write to", "small.py"),
    (TRAIN + "--workdir=/proc/run", "--workdir: cannot write to /proc/run"),
    (TRAIN + "--workdir={folder}/foreign", "--workdir", "is not a run's folder; it holds thesis.txt"),
    (TRAIN + "--workdir={run} --config.seed=7", "--workdir", "holds a run with another config", "config.seed: 0 -> 7"),
    ("eval --workdir={folder}/none", "--workdir", "none is no folder"),
    ("eval --workdir={folder}/empty", "--workdir", "empty has no config.json"),
    ("report --workdir={folder}/empty", "--workdir", "empty has no config.json"),
    ("predict --workdir={run}", "--images: predict needs it"),
    ("predict --workdir={run} --images={folder}/none.png", "--images: there is no file or folder", "none.png"),
    ("predict --workdir={run} --images={folder}/empty", "--images: the folder", "has no pictures"),
    ("predict --workdir={run} --images={folder}/text.png", "--images", "text.png"),
    ("summary --config={small} --output={folder}/none/layers.csv", "--output", "there is no folder", "none"),
    ("summary --config={small} --output=" + 300 * "n" + ".csv", "--output: ", "File name too long"),
    ("export --workdir={run} --format=onnx --output={folder}/empty", "--output: ", "empty is a folder; name a file"),
    ("export --workdir={run} --format=onnx --output={folder}/none/network", "--output", "there is no folder", "none"),
    ("export --workdir={run} --format=onnx --output=/dev/null", "--output: /dev/null is not a regular file"),
    ("summary --config={small} --output=/proc/layers.csv", "--output: cannot write /proc/layers.csv"),
    (TRAIN + "--config.data.train_images={folder}/none", "config.data.train_images: there is no file"),
    (TRAIN + "--config.data.test_labels={folder}/none", "config.data.test_labels: there is no file"),
    (TRAIN + "--config.data.train_images={folder}/cut", "config.data.train_images", "cut is cut short", "49,993"),
    (TRAIN + "--config.data.train_labels={folder}/text.png", "config.data.train_labels", "text.png", "IDX"),
    # names
    (TRAIN + "--config.trian.epochs=2", "config.trian", "did you mean", "train"),
    (TRAIN + "--config.train.epoch=2", "config.train.epoch", "did you mean", "epochs"),
    (TRAIN + "--config.model.kernel=3", "config.model.kernel", "kernel_size"),
    (TRAIN + "--config.data.flip=true", "config.data.flip: unknown field", "did you mean config.augment.flip?"),
    (TRAIN + "--config.optimizer.momentum=0.9", "config.optimizer.momentum", "sgd"),
    (TRAIN + "--config.model.name=cnm", "config.model.name", "'cnm'", "cnn"),
    (TRAIN + "--config.data.name=cifar", "config.data.name", "'cifar'", "fashion_mnist"),
    (TRAIN + "--config.schedule.name=cosin", "config.schedule.name", "did you mean", "cosine"),
    (TRAIN + "--config.optimizer.name=adan", "config.optimizer.name", "did you mean", "adam"),
    # types
    (TRAIN + "--config.seed=one", "config.seed", "'one'", "integer"),
    (TRAIN + "--config.seed=1.5", "config.seed", "1.5", "integer"),
    (TRAIN + "--config.train.epochs='2'", "config.train.epochs", "'2'", "integer"),
    (TRAIN + "--config.train=2", "config.train", "2", "epochs"),
    (TRAIN + "--config.augment.flip=1", "config.augment.flip", "1", "true | false"),
    (TRAIN + "--config.log.tensorboard=yes", "config.log.tensorboard", "'yes'", "true | false"),
    (TRAIN + "--config.model.features=8", "config.model.features", "8"),
    (TRAIN + "--config.model.kernel_size=(3,'a')", "config.model.kernel_size", "'a'"),
    (TRAIN + "--config.optimizer.learning_rate=nan", "config.optimizer.learning_rate", "nan"),
    # values
    (TRAIN + "--config.seed=-1", "config.seed", "-1", ">= 0"),
    (TRAIN + "--config.train.epochs=0", "config.train.epochs", "0", ">= 1"),
    (TRAIN + "--config.optimizer.learning_rate=0", "config.optimizer.learning_rate", ">= 1e-12"),
    (TRAIN + "--config.data.validation_fraction=1", "config.data.validation_fraction", "< 1"),
    (TRAIN + "--config.model.dropout=1.0", "config.model.dropout", "1.0", "< 1"),
    (TRAIN + "--config.model.features=()", "config.model.features"),
    (TRAIN + "--config.model.kernel_size=0", "config.model.kernel_size", ">= 1"),
    (TRAIN + "--config.model.padding=-1", "config.model.padding", "-1"),
    (TRAIN + "--config.model.padding=same", "config.model.padding", "'same'", "SAME"),
    (TRAIN + "--config.model.pooling=(max,mean)", "config.model.pooling", "mean", "max | avg | min"),
    (TRAIN + "--config.checkpoint.keep_last=0", "config.checkpoint.keep_last", ">= 1"),
    (TRAIN + "--config.train.label_smoothing=-0.1", "config.train.label_smoothing", "-0.1"),
    (TRAIN + "--config.augment.erasing=1.5", "config.augment.erasing", "1.5", "<= 1"),
    (TRAIN + "--config.augment.erasing_fill=means", "config.augment.erasing_fill", "did you mean 'mean'"),
    # combinations
    (TRAIN + "--config.augment.shift=2 --config.augment.crop_padding=2", "config.augment.shift=2", "both move", "to 0"),
    (TRAIN + "--config.augment.erasing_area=(0.5,0.1)", "erasing_area=(0.5, 0.1) must rise", "(0.1, 0.5)"),
    (TRAIN + "--config.augment.cutmix=1.0 --config.train.batch_size=1", "config.augment.cutmix", "use 2 or more"),
    (TRAIN + "--config.checkpoint.select=best", "config.checkpoint.select", "config.data.validation_fraction"),
    (TRAIN + "--config.schedule.warmup_epochs=4", "config.schedule.warmup_epochs=4", "config.train.epochs=4"),
    (TRAIN + "--config.model.padding=('SAME',1,2)", "config.model.padding has 3", "config.model.features has 2"),
    (
        TRAIN + "--config.schedule.name=step --config.schedule.boundaries=(3,1)",
        "config.schedule.boundaries",
        "(1.0, 3.0)",
    ),
    # values that float32 cannot work with, and sizes beyond all use
    (TRAIN + "--config.augment.mixup=1e-300", "config.augment.mixup=1e-300", "use 0.001 or more, or 0"),
    (TRAIN + "--config.augment.cutmix=1e-9", "config.augment.cutmix=1e-09", "use 0.001 or more, or 0"),
    (TRAIN + "--config.augment.lighting=1e39", "config.augment.lighting", "1e+39", "<= 100"),
    (TRAIN + "--config.optimizer.clip_norm=1e-300", "config.optimizer.clip_norm", "1e-300", ">= 1e-12"),
    (TRAIN + "--config.optimizer.b1=0.9999999999", "config.optimizer.b1", "<= 0.999999"),
    (TRAIN + "--config.optimizer.eps=1e-300", "config.optimizer.eps", "1e-300", ">= 1e-20"),
    (TRAIN + "--config.model.norm_eps=1e-300", "config.model.norm_eps", ">= 1e-20"),
    (TRAIN + "--config.optimizer.weight_decay=1e300", "config.optimizer.weight_decay", "1e+300"),
    (TRAIN + "--config.augment.erasing_aspect=(1e-300,1.0)", "config.augment.erasing_aspect", "1e-300"),
    (TRAIN + "--config.train.epochs=10000000000", "config.train.epochs", "10000000000", "<= 1000000"),
    (TRAIN + "--config.train.batch_size=10000000000", "config.train.batch_size", "10000000000"),
    (TRAIN + "--config.train.batch_size=2147483647 --config.train.accumulate=2", "accumulate=2", "that does is 1"),
    (TRAIN + "--config.model.strides=1000000000000000000", "config.model.strides", "<= 1024"),
    (TRAIN + "--config.model.pool_window=1000000000000000000", "config.model.pool_window", "<= 1024"),
    (TRAIN + "--config.model.dilation=1000 --config.model.padding=SAME", "layer conv1", "adds 1,000 pixels of zeros"),
    (TRAIN + "--config.model.kernel_size=1001 --config.model.padding=SAME", "layer conv1", "config.model.kernel_size="),
    # single values
    (
        TRAIN + "--config.train.batch_size=1 --config.model.norm=batch --config.model.kernel_size=(3,4)",
        "config.train.batch_size=1",
        "batch norm",
        "layer conv2/norm",
    ),
    # values that are no literals, and flags that take none
    (TRAIN + "--config.seed={{{{}}}}", "config.seed: got '{{}}'"),
    (TRAIN + "--config.seed=" + 9999 * "-" + "1", "config.seed: got '---"),
    (TRAIN + "--config.seed=" + 9999 * "(", "config.seed: got '((("),
    (TRAIN + "--noprofile=none", "--noprofile: got 'none'; it takes no value"),
    (TRAIN + "--noreport=", "--noreport"),
    ("sweep --config={small} --time_limit=nan", "--time_limit: got nan, expected a finite number"),
    ("prepare --source={folder} --test_fraction=nan", "--test_fraction: got nan"),
    (TRAIN + "--config.data.class_names=('a','b\0')", "config.data.class_names", "NUL"),
    # impossible sizes
    (TRAIN + "--config.train.batch_size=501", "config.train.batch_size=501 exceeds the 500 training images"),
    (TRAIN + "--config.augment.shift=10", "config.augment.shift=10", "10x10", "at most 9"),
    (TRAIN + "--config.augment.cutout=19", "config.augment.cutout=19", "10x10", "at most 18"),
    (TRAIN + "--config.data.train_examples=501", "config.data.train_examples=501", "500"),
    (TRAIN + "--config.data.validation_fraction=0.001", "config.data.validation_fraction=0.001", "holds out 0"),
    (TRAIN + "--config.model.kernel_size=11", "config.model: layer conv1, input 10x10x1", "kernel_size=3", "32x32"),
    (TRAIN + "--config.model.strides=9", "config.model: layer", "config.model.strides="),
    (TRAIN + "--config.model.padding=REFLECT --config.model.kernel_size=(3,13)", "layer conv2", "model.padding=SAME"),
]


def refused(words, folder, capsys):
    """Runs a command line that must be refused, and gives what it says."""
    places = {"small": f"{folder}/small.py", "run": f"{folder}/run", "folder": folder}
    argv = [word.format(**places) for word in words.split()]
    if argv[0] == "train" and not any("workdir" in word for word in argv):
        argv.append(f"--workdir={folder}/new")
    assert launch.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("refused: ")
    return captured.err


@pytest.mark.parametrize(("words", "expected"), [(words, expected) for words, *expected in REFUSED])
def test_what_is_wrong_is_refused_with_its_name(folder, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(ROOT)
    message = refused(words, folder, capsys)
    assert [part for part in expected if part not in message] == [], message


def test_all_faults_are_told_at_once(folder, capsys):
    words = "--confg=x --config.train.epoch=2 --config.seed=-1 --config.model.name=cnm"
    message = refused(TRAIN + words, folder, capsys)
    names = [word.partition("=")[0].removeprefix("--") for word in words.split()]
    assert [name for name in names if name not in message] == []


def test_a_refusal_leaves_the_folder_free_for_the_right_config(folder, capsys):
    refused(TRAIN + "--config.model.kernel_size=11 --workdir={folder}/second", folder, capsys)
    words = ["--config.train.epochs=1", f"--workdir={folder}/second", "--noreport"]
    assert launch.main(["train", f"--config={folder}/small.py", *words]) == 0


def launched(*words, **environment):
    """Runs launch.py as its users do."""
    return subprocess.run(
        [sys.executable, ROOT / "launch.py", *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_bad_config_is_answered_before_jax_is_imported(folder, tmp_path):
    for module in ("jax", "flax", "orbax", "numpy"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not yet')\\n")
    done = launched("train", f"--config={folder}/small.py", "--config.train.epoch=1", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.train.epoch: unknown field" in done.stderr


def test_pictures_become_records(tmp_path, capsys):
    for split, name in (("train", "a"), ("train", "b"), ("val", "a")):
        (tmp_path / "pictures" / split / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / split / name / "1.png")
    words = ["prepare", f"--source={tmp_path}/pictures", f"--target={tmp_path}/records"]
    assert launch.main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path}/records: 2 train and 1 validation pictures of 2 classes\n"
    assert launch.main(words) == 2
    assert "is a whole folder of records already" in capsys.readouterr().err


def test_worker_processes_leave_nothing_behind(records_folder, tmp_path):
    config = {
        "data": {"name": "records", "folder": str(records_folder), "image_size": 32, "workers": 1, "threads": 2},
        "model": {"name": "lenet5"},
        "train": {"epochs": 2, "batch_size": 8, "eval_batch_size": 4},
    }
    (tmp_path / "streamed.py").write_text(f"def get_config():\n    return {config!r}\n")
    done = launched("train", f"--config={tmp_path}/streamed.py", f"--workdir={tmp_path}/run", "--noreport")
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr


def test_help_is_an_answer(capsys):
    for words in ([], ["--help"], ["train", "--help"], ["predict", "--help"]):
        assert launch.main(words) == 0
        assert "usage: python launch.py" in capsys.readouterr().out


def test_the_loop_needs_no_tensorflow():
    assert importlib.util.find_spec("tensorflow") is None  # so that the runs of these tests prove as much
    code = "import sys, cnn_jax.train.loop; assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- the verbs, one after another over one run ---


def test_train_ends_with_result_and_report(folder, capsys):
    assert launch.main(["train", f"--config={folder}/small.py", f"--workdir={folder}/reported"]) == 0
    said = capsys.readouterr().out
    result = json.loads((folder / "reported" / "result.json").read_text())
    assert f"test accuracy {result['test_accuracy']:.4f}" in said
    assert f"report: {folder}/reported/report/index.html" in said
    assert (folder / "reported" / "report" / "index.html").exists()
    # the same command again trains nothing, and does not mind
    assert launch.main(["train", f"--config={folder}/small.py", f"--workdir={folder}/reported"]) == 0
    assert "is done" in capsys.readouterr().out


def test_report_makes_it_anew(folder, capsys):
    assert launch.main(["report", f"--workdir={folder}/run"]) == 0
    page = folder / "run" / "report" / "index.html"
    assert f"report: {page}" in capsys.readouterr().out
    assert "Confusion" in page.read_text(encoding="utf-8")


def test_eval_measures_what_training_measured(folder, capsys):
    assert launch.main(["eval", f"--workdir={folder}/run"]) == 0
    measured = json.loads(capsys.readouterr().out)
    result = json.loads((folder / "run" / "result.json").read_text())
    assert measured["images"] == 150
    assert measured["test_accuracy"] == pytest.approx(result["test_accuracy"])
    assert measured["test_top1_error"] == pytest.approx(result["test_top1_error"])
    # the losses are summed in another order: float32 rounding
    assert measured["test_loss"] == pytest.approx(result["test_loss"], rel=1e-5)


def test_summary_in_every_format(folder, capsys):
    words = ["summary", f"--config={folder}/small.py"]
    assert launch.main(words) == 0
    assert "Total parameters: 1,243" in capsys.readouterr().out
    assert launch.main([*words, "--format=json", f"--output={folder}/layers.csv"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    rows = list(csv.DictReader((folder / "layers.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [layer["name"] for layer in layers]
    assert [int(row["parameters"]) for row in rows] == [80, 0, 584, 0, 528, 51]


def test_summary_asks_for_no_device(folder):
    done = subprocess.run(
        [sys.executable, "launch.py", "summary", f"--config={folder}/small.py"],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "no_such_platform"},  # which JAX looks for when it starts a device
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Total parameters: 1,243" in done.stdout


def test_summary_refuses_what_training_refuses(folder, capsys):
    """A norm over single values, augmentation that does not fit, a frozen layer that is not there."""
    words = [f"--config={folder}/small.py"]
    single = ["--config.model.norm=batch", "--config.model.kernel_size=10", "--config.model.pooling=none"]
    single += ["--config.model.features=(4,)", "--config.train.batch_size=1"]
    for more in (single, ["--config.augment.shift=60"], ["--config.pretrained.freeze=('conv9',)"]):
        said = []
        for verb in (["summary"], ["train", f"--workdir={folder}/refused"]):
            assert launch.main([*verb, *words, *more]) == 2
            said.append(capsys.readouterr().err)
        assert said[0] == said[1]
    assert launch.main(["summary", *words, *single[:-1], "--config.train.batch_size=2"]) == 0


def test_predict_tells_classes_and_what_it_changed(folder, tmp_path, capsys):
    upright = np.full((10, 10), 40, np.uint8)
    upright[:, 4] = 230
    Image.fromarray(upright).save(tmp_path / "a_fits.png")
    Image.fromarray(upright).convert("RGB").resize((40, 40)).save(tmp_path / "b_large.png")
    words = ["predict", f"--workdir={folder}/run", f"--images={tmp_path}"]
    assert launch.main([*words, "--format=json"]) == 0
    fits, large = json.loads(capsys.readouterr().out)
    assert (fits["label"], fits["changes"]) == ("vertical", "")
    assert sum(fits["probabilities"].values()) == pytest.approx(1)
    assert set(fits["probabilities"]) == {"vertical", "horizontal", "both"}
    assert "40x40" in large["changes"]
    assert launch.main([*words, "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == [fits["label"], large["label"]]
    assert launch.main([*words, f"--images={tmp_path}/a_fits.png"]) == 0
    assert capsys.readouterr().out.count("a_fits.png") == 2


def test_predict_lists_what_it_cannot_read_and_predicts_the_others(folder, tmp_path, capsys):
    for name in ("a.png", "c.png"):
        Image.fromarray(np.full((10, 10), 40, np.uint8)).save(tmp_path / name)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-30])
    (tmp_path / "d.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (tmp_path / "notes.txt").write_text("x")
    words = ["predict", f"--workdir={folder}/run", f"--images={tmp_path}", "--format=json"]
    assert launch.main([*words, f"--output={tmp_path}/out.csv"]) == 1
    told = capsys.readouterr()
    assert [row["file"] for row in json.loads(told.out)] == [f"{tmp_path}/a.png", f"{tmp_path}/c.png"]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3
    warning, head, first, second = told.err.splitlines()
    assert warning.endswith(f"1 file that is no picture ({tmp_path}/notes.txt)")
    assert head == "failed: --images: 2 of 4 files cannot be read as pictures:"
    assert first.startswith(f"  {tmp_path}/b.png cannot be read as a picture: ")
    assert second.startswith(f"  {tmp_path}/d.png cannot be read as a picture: it is none of PNG")
