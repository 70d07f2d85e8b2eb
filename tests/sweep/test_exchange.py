"""A sweep's exported file that was damaged on its way."""

import json

import pytest

from cnn_jax.cli import main
from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep import exchange
from sweep.test_sweep_file import NO_NAMES
from sweep.written_sweep import CPU, PACKAGES


def exported(**changes):
    """The content of a file with one finished trial."""
    record = {"step": 3, "epoch": 1.0, "split": "test", "values": {"loss": 0.5, "accuracy": 0.9}}
    trial = {
        "number": 1,
        "overrides": {"seed": 1},
        "point": {"seed": 1},
        "config": {"seed": 1},
        "checksum": "abc",
        "cores": 2,
        "provenance": {"git": None, "packages": PACKAGES, "devices": CPU},
        "records": [record],
    }
    sweep = {"experiment": "pooling", "description": "", "baseline": None, "skip_infeasible": False, "fields": []}
    return {"format": 1, "base": {}, "trials": [trial | changes]} | sweep


def test_what_a_trial_left_is_read_as_records(tmp_path):
    file = tmp_path / "pooling.json"
    file.write_text(json.dumps(exported()))
    plan, known = exchange.read(file)
    checksum, evidence = known[1]
    assert (plan.experiment, checksum, evidence.cores) == ("pooling", "abc", 2)
    assert evidence.records[0].values == {"loss": 0.5, "accuracy": 0.9}
    assert evidence.provenance.packages == PACKAGES


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"records": [{"step": 3}]}, "trial 1: epoch: Field required"),
        ({"provenance": {"git": None, "packages": {}}}, "trial 1: devices: Field required"),
    ],
)
def test_a_damaged_trial_is_refused(tmp_path, changes, fault):
    file = tmp_path / "pooling.json"
    file.write_text(json.dumps(exported(**changes)))
    with pytest.raises(ConfigError, match=f"pooling.json is damaged in {fault}"):
        exchange.read(file)


def written(tmp_path, content):
    file = tmp_path / "other.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


PARTS = ["format", "base", "trials", "experiment", "description", "baseline", "skip_infeasible", "fields"]
TRIAL_PARTS = ["number", "overrides", "point", "config", "checksum", "cores", "provenance", "records"]


@pytest.mark.parametrize("value", ["missing", 3, None, "x", [3], {"a": [1]}, True, 1e400])
@pytest.mark.parametrize("part", [*PARTS, *(f"trials.{part}" for part in TRIAL_PARTS)])
def test_missing_and_wrong_parts_are_told(tmp_path, part, value):
    content = exported()
    at = content["trials"][0] if part.startswith("trials.") else content
    name = part.removeprefix("trials.")
    if value == "missing":
        del at[name]
    else:
        at[name] = value
    # What can be meant: texts, no baseline, an unknown number of cores, and a trial that has not ended.
    legal = name in ("experiment", "description", "checksum") and value == "x"
    legal |= name in ("baseline", "cores", "records") and value is None
    legal |= (name == "cores" and value == 3) or (name == "skip_infeasible" and value is True)
    legal |= (name == "number" and value == 3) or (name == "format" and value is True)  # which is 1
    legal |= name in ("overrides", "point", "baseline") and value == {"a": [1]}
    if legal:
        exchange.read(written(tmp_path, content))
        return
    with pytest.raises(ConfigError) as caught:
        exchange.read(written(tmp_path, content))
    assert all(fault.startswith("--from: ") for fault in caught.value.faults)
    assert name in str(caught.value) or name in ("config", "base", "provenance")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"format": 1, "trials": ' + b"[" * 3000, b'{"format": 2}'],
)
def test_what_is_no_exported_sweep(tmp_path, content):
    with pytest.raises(ConfigError, match=r"--from: .*other\.json is no sweep that `sweep --export=FILE` wrote"):
        exchange.read(written(tmp_path, content))


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.json", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match=r"--from: .* cannot be read: "):
            exchange.read(path)


@pytest.mark.parametrize("name", NO_NAMES)
def test_the_names_of_others_are_no_paths(tmp_path, name):
    with pytest.raises(ConfigError, match="damaged: experiment: "):
        exchange.read(written(tmp_path, exported() | {"experiment": name}))
    with pytest.raises(ConfigError, match=r"damaged: fields\.0: "):
        exchange.read(written(tmp_path, exported() | {"fields": [name]}))


def test_no_trials_and_trials_that_are_there_twice(tmp_path):
    with pytest.raises(ConfigError, match="holds no trials"):
        exchange.read(written(tmp_path, exported() | {"trials": []}))
    (trial,) = exported()["trials"]
    with pytest.raises(ConfigError, match="trial 1 is there twice"):
        exchange.read(written(tmp_path, exported() | {"trials": [trial, trial]}))
    plan, known = exchange.read(written(tmp_path, exported() | {"trials": [trial, trial | {"number": 2}]}))
    assert (len(plan.trials), plan.repeated, list(known)) == (1, 1, [1])


def test_where_a_sweep_cannot_be_written(tmp_path):
    assert "which is a folder" in exchange.unwritable(tmp_path)
    assert "there is no folder" in exchange.unwritable(tmp_path / "none" / "x.json")
    assert exchange.unwritable(tmp_path / "x.json") is None
    words = ["sweep", "--config=x.py"]
    with pytest.raises(ConfigError, match=r"--export: got .*, which is a folder"):
        main.parse([*words, f"--export={tmp_path}"])
    with pytest.raises(ConfigError, match="give one of them at a time"):
        main.parse([*words, "--verify=1", f"--export={tmp_path / 'x.json'}"])
