"""A sweep's exported file that was damaged on its way."""

import json

import pytest

from cnn_jax.config_parse import ConfigError
from cnn_jax.sweep import exchange
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
