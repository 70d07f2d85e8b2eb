"""Resources of trials beside those of nodes, worked out by hand."""

import pytest

from cnn_jax.sweep.engines.needs import Needs, capacity, unmet

PLAIN = {"CPU": 8.0, "memory": 1e9, "node:10.0.0.1": 1.0}
A100 = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
H100 = {"CPU": 16.0, "GPU": 8.0, "accelerator_type:H100": 1.0}
NODES = [PLAIN, PLAIN, A100, H100]


@pytest.mark.parametrize(
    "needs",
    [
        Needs(),
        Needs(cpus=16),
        Needs(gpus=2, accelerator="A100"),
        Needs(cpus=2, gpus=8, accelerator="H100"),
        Needs(gpus=1, processes=10),  # two on the node of A100, eight on that of H100
        Needs(cpus=4, processes=10),  # two, two, two and four
        Needs(gpus=2, accelerator="H100", processes=4),
    ],
)
def test_what_the_nodes_have(needs):
    assert unmet(needs, NODES) is None


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(cpus=17), ["17 CPU cores", "2 x (8 CPU cores)", "1 x (16 CPU cores, 8 GPUs, accelerator H100)"]),
        (Needs(gpus=4, accelerator="A100"), ["4 GPUs, accelerator A100", "8 CPU cores, 2 GPUs, accelerator A100"]),
        (Needs(gpus=9), ["9 GPUs"]),
        (Needs(tpus=4), ["4 TPU chips"]),
        (Needs(gpus=1, accelerator="V100"), ["--accelerator=V100", "did you mean 'H100'?"]),
        (Needs(gpus=1, accelerator="TPU-V5P"), ["--accelerator=TPU-V5P", "it has: A100, H100"]),
        (Needs(gpus=1, processes=11), ["--processes=11, of which the nodes hold 10"]),
    ],
)
def test_what_they_lack_is_named(needs, words):
    message = unmet(needs, NODES)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_trials_at_a_time():
    assert capacity(Needs(), NODES) == 8 + 8 + 8 + 16
    assert capacity(Needs(cpus=3), NODES) == 2 + 2 + 2 + 5
    assert capacity(Needs(cpus=3, processes=2), NODES) == 5
    assert capacity(Needs(gpus=2), NODES) == 1 + 4
    assert capacity(Needs(gpus=2, accelerator="H100"), NODES) == 4
    assert capacity(Needs(tpus=1), NODES) == 0


def test_a_cluster_without_accelerators():
    assert "it has: none with a name" in unmet(Needs(gpus=1, accelerator="H100"), [PLAIN])
    assert "have nothing" in unmet(Needs(), [])


def test_ray_reads_the_same_from_a_tasks_options():
    utils = pytest.importorskip("ray._common.utils")
    needs = Needs(cpus=2, gpus=1, tpus=4, accelerator="TPU-V4")
    assert utils.resources_from_ray_options(needs.options) == needs.bundle
    assert needs.bundle == {"CPU": 2, "GPU": 1, "TPU": 4, "accelerator_type:TPU-V4": 0.001}
