"""Convolution and pooling against what PyTorch and TensorFlow computed: results that `make golden` wrote to a file."""

from pathlib import Path

import pytest
from peers.cases import KINDS, load
from peers.compare import computed, differences
from support.quick_programs import QUICK


@pytest.fixture(scope="module")
def golden():
    return list(zip(*load(Path(__file__).parent / "golden" / "peers.npz"), strict=True))


def test_the_file_holds_all_kinds_by_both_peers(golden):
    assert len(golden) == 60
    for kind in KINDS:
        peers = {peer for case, results in golden if case.kind == kind for peer in results}
        assert peers == {"PyTorch", "TensorFlow"}


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_the_peers(golden, kind):
    chosen = ((case, results) for case, results in golden if case.kind == kind)
    lines = [line for case, results in chosen for line in differences(case, computed(case, QUICK), results)]
    assert not lines, "\n".join(lines)
