"""Graphs of layers by hand: residual blocks, inception's branches, activations before any layer."""

from cnn_jax import models
from cnn_jax.config.model import CifarResNet, Cnn, GoogLeNet


def graph(config, side):
    return models.create(config, 3).layer_graph((side, side, 3))


def edges(nodes):
    """The names that each node reads, by its name."""
    names = [node.name for node in nodes]
    return {node.name: [names[i] if i >= 0 else "image" for i in node.inputs] for node in nodes}


def test_a_projection_reads_the_activated_maps_and_an_identity_those_before():
    found = edges(graph(CifarResNet(depth=8, width=4, activation_order="pre", norm="none", shortcut="projection"), 8))
    assert found["stage1_block1/conv1"] == ["stem/activation"]
    assert found["stage1_block1/add"] == ["stage1_block1/conv2", "stem"]
    assert found["stage2_block1/conv1"] == ["stage1_block1/add/activation"]
    assert found["stage2_block1/shortcut"] == ["stage1_block1/add/activation"]
    assert found["stage2_block1/add"] == ["stage2_block1/conv2", "stage2_block1/shortcut"]


def test_branches_are_joined_in_order():
    nodes = graph(GoogLeNet(width=0.1, modules=(1, 0, 0)), 33)
    found = edges(nodes)
    assert found["inception3a/concat"] == [f"inception3a/branch{number}/activation" for number in (1, 2, 3, 4)]
    assert found["inception3a/branch4"] == ["inception3a/branch4_pool"]
    assert found["inception3a/branch1"] == found["inception3a/branch3_reduce"] == ["pool2"]
    assert not any(node.name.startswith("aux") for node in nodes)


def test_an_activation_of_the_image():
    nodes = graph(Cnn(features=(2,), pooling="none", order="norm-activation-conv", activation="elu", dense=()), 6)
    assert [(node.name, node.inputs, node.function) for node in nodes] == [
        ("image/activation", (-1,), "elu"),
        ("conv1", (0,), None),
        ("head/flatten", (1,), None),
        ("head/logits", (2,), None),
    ]
    assert [node.shape for node in nodes] == [(6, 6, 3), (4, 4, 2), (32,), (3,)]
