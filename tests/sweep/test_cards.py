"""GPUs and their memory shared out among jobs: CUDA's and JAX's variables, worked out by hand."""

import pytest

from cnn_jax.sweep import cards


def visible(jobs, devices, **environment):
    return [each["CUDA_VISIBLE_DEVICES"] for each in cards.share(jobs, devices, environment)]


def fractions(jobs, devices, **environment):
    return [each.get("XLA_PYTHON_CLIENT_MEM_FRACTION") for each in cards.share(jobs, devices, environment)]


def test_jobs_take_turns_on_all_cards():
    assert visible(5, 2) == ["0", "1", "0", "1", "0"]


@pytest.mark.parametrize("given", ["2,3", " 2, 3 ", "GPU-8932f937,GPU-1a2b", "MIG-GPU-1/1/0,MIG-GPU-1/2/0"])
def test_inherited_cards_are_kept(given):
    first, second = (name.strip() for name in given.split(","))
    assert visible(3, 2, CUDA_VISIBLE_DEVICES=given) == [first, second, first]


def test_names_after_one_that_cuda_does_not_know_are_not_used():
    # CUDA stops at the first invalid name: of "2,-1,3" it shows one GPU
    assert visible(2, 1, CUDA_VISIBLE_DEVICES="2,-1,3") == ["2", "2"]


def test_jobs_on_one_card_share_what_jax_reserves():
    assert fractions(2, 2) == [None, None]
    assert fractions(3, 2) == ["0.375", None, "0.375"]
    assert fractions(3, 1) == ["0.250"] * 3


@pytest.mark.parametrize(
    "chosen", [{"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".2"}]
)
def test_a_users_choice_of_memory_stands(chosen):
    assert fractions(3, 1, **chosen) == [None] * 3
