"""Changes of data, constants and weights, and differences that are none."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import identity
from cnn_jax.config.parsing import parse
from cnn_jax.run.folder import RunFolder
from cnn_jax.run.records import Colours


def test_weights_are_compared(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"one")
    experiment = parse({"model": {"name": "lenet5"}})
    started = experiment.model_copy(
        update={"pretrained": experiment.pretrained.model_copy(update={"weights": str(weights)})}
    )
    described = RunFolder(Path(__file__).parent / "run" / "old_run").dataset_info()
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.write_dataset_info(described)
    folder.write_provenance(identity.provenance_of(started, described))
    assert folder.provenance().weights_checksum == hashlib.sha256(b"one").hexdigest()
    identity.check_resumed(folder, started, described)
    weights.write_bytes(b"two")
    with pytest.raises(identity.WeightsError, match="has changed"):
        identity.check_resumed(folder, started, described)


def test_an_older_description_knows_less_and_is_no_difference():
    described = RunFolder(Path(__file__).parent / "run" / "old_run").dataset_info()
    assert described.split_checksum is None
    assert identity.data_changes(described, described.model_copy(update={"split_checksum": "a"})) == []


def test_colours_are_the_same_whatever_the_signs_of_their_eigenvectors():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]

    def colours(eigenvalues, vectors):
        columns = tuple(map(tuple, vectors.tolist()))
        return Colours(mean=(1.0, 2.0, 3.0), eigenvalues=eigenvalues, eigenvectors=columns)

    first = colours((0.3, 0.2, 0.1), vectors)
    assert identity._same_colours(first, colours((0.3 + 1e-8, 0.2, 0.1), -vectors))
    assert not identity._same_colours(first, colours((0.3, 0.21, 0.1), vectors))
    assert not identity._same_colours(first, colours((0.3, 0.2, 0.1), vectors[:, ::-1]))
    assert not identity._same_colours(first, None)
