"""Sixty legal and sixty bad random experiments: none ends otherwise than in the right way or in one refusal.

Legal ones are checked and traced, and a few of them trained; `make fuzz` trains three hundred of them.
"""

import jax
import pytest

from cnn_jax import data
from cnn_jax.aot import lowering
from cnn_jax.aot.job import Job
from cnn_jax.cli import train
from cnn_jax.config import Experiment
from cnn_jax.config.fields import variants_of
from cnn_jax.config.parsing import parse
from cnn_jax.geometry import nearest, preflight
from tests.fuzz import cases, run, sources

SEED, COUNT = 1, 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return sources.write(tmp_path_factory.mktemp("tiny"))


def examine(experiment):
    """Loads the data and checks all that is checked before a run; gives the data set."""
    dataset = data.load(experiment.data, experiment.seed)
    preflight.check(experiment, dataset, devices=1)
    return dataset


def test_every_network_source_and_section_is_drawn(tiny):
    drawn = [cases.legal(SEED, number, tiny) for number in range(COUNT)]
    for section, field in Experiment.model_fields.items():
        if variants := set(variants_of(field)) - {"fashion_mnist", "mnist", "cifar10", "cifar100"}:
            assert {tree[section]["name"] for tree in drawn} == variants
    assert all(isinstance(parse(tree), Experiment) for tree in drawn)


def test_legal_experiments_are_refused_or_can_be_traced(tiny, monkeypatch):
    monkeypatch.setattr(nearest, "suggest_fixes", lambda *_: [])  # which trace dozens of networks for each refusal
    traced, refusals = 0, []
    for number in range(COUNT):
        experiment = parse(cases.legal(SEED, number, tiny))
        try:
            dataset = examine(experiment)
        except preflight.REFUSALS as error:
            refusals.append(str(error))
            continue
        if experiment.model.name in ("cnn", "lenet5", "convnext", "mobilenet_v2"):
            job = Job(experiment, dataset.image_shape, dataset.num_classes, "cpu", "train")
            lowering.lower(job, experiment.train.batch_size, jax.devices()[:1])
            traced += 1
    assert [message for message in refusals if not message.startswith("config.")] == []
    assert traced >= 5


def test_bad_experiments_and_command_lines_end_in_one_refusal(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "suggest_fixes", lambda *_: [])
    monkeypatch.setattr(train, "train", lambda request: examine(request.experiment))
    monkeypatch.chdir(tmp_path)
    ends = [run.run("bad", SEED, number, tiny, tmp_path) for number in range(COUNT)]
    assert [text for end, text in ends if end not in ("0", "2")] == []
    assert sum(end == "2" for end, _ in ends) > 0.8 * COUNT  # a random change may be a legal one


def test_one_of_them_trains_for_two_steps(tiny, tmp_path):
    trained = 0
    for number in range(COUNT):
        if cases.legal(SEED, number, tiny)["model"]["name"] in ("cnn", "lenet5") and not trained:
            end, text = run.run("legal", SEED, number, tiny, tmp_path)
            assert end in ("0", "2"), text
            trained += end == "0"
    assert trained
