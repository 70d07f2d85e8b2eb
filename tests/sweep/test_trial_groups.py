"""Seeds are trained together where their images lie on the devices."""

import pytest

from cnn_jax.config import parse
from cnn_jax.sweep import trial_groups
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry
from cnn_jax.sweep.trial import Trial

WEB = {"name": "webdataset", "folder": "a"}


@pytest.mark.parametrize(
    ("data", "groups"),
    [
        ({"name": "npz", "file": "a.npz"}, 1),
        ({"name": "npz", "file": "a.npz", "memory": "host"}, 2),
        ({"name": "records", "folder": "a"}, 2),
        (WEB, 2),
        (WEB | {"memory": "device"}, 1),
    ],
)
def test_seeds_of_a_point(data, groups):
    trials = [Trial(seed, {}, {}, parse({"data": data, "seed": seed})) for seed in (1, 2)]
    entries = [Entry(str(trial.number), trial, Examined("checksum")) for trial in trials]
    assert len(trial_groups.by_point(entries)) == groups
