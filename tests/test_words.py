"""Nearest words and shapes in messages."""

import pytest

from cnn_jax.words import by, did_you_mean, nearest, unknown_layer


@pytest.mark.parametrize(
    ("word", "words", "expected"),
    [
        ("resnt", ["resnet", "cnn"], "resnet"),
        ("CONV1", ["conv2", "conv1"], "conv1"),
        ("conv1", ["Conv1", "CONV1"], "Conv1"),
        ("zebra", ["conv1"], None),
        ("", [], None),
    ],
)
def test_the_nearest_word(word, words, expected):
    assert nearest(word, words) == expected
    assert did_you_mean(word, words) == (f"; did you mean {expected!r}?" if expected else "")


def test_any_word_is_near_enough_where_none_need_be_alike():
    assert nearest("zzz", ["abc"], least=0) == "abc"


def test_unknown_layers():
    assert unknown_layer("conv3", ["conv1", "d"]) == "no layer 'conv3'; did you mean 'conv1'? The layers are: conv1, d"
    assert unknown_layer("#", ["conv1", "d"]) == "no layer '#'; The layers are: conv1, d"


def test_only_text_is_near_to_a_word():
    assert did_you_mean(["conv1"], ["conv1"]) == ""


def test_shapes():
    assert by((28, 28, 1)) == "28x28x1"
    assert by(()) == ""
