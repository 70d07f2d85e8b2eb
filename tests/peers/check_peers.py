"""Convolution and pooling against PyTorch and TensorFlow, which run in an environment of their own."""

import subprocess
from pathlib import Path

import pytest

from peers.cases import KINDS, generate, large, load, save
from peers.compare import differences


@pytest.fixture(scope="module")
def answered(pytestconfig, tmp_path_factory):
    """Random cases with the peers' results."""
    peers, seed = pytestconfig.getoption("--peers"), pytestconfig.getoption("--seed")
    if not peers:
        pytest.fail("--peers=PYTHON is missing; `make test-peers` passes it")
    folder = tmp_path_factory.mktemp("peers")
    save(folder / "cases.npz", [*generate(seed, pytestconfig.getoption("--cases")), *large(seed)])
    words = [peers, "-m", "peers.reference", str(folder / "results.npz"), f"--cases={folder / 'cases.npz'}"]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return list(zip(*load(folder / "results.npz"), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_the_peers(answered, kind):
    chosen = [(case, results) for case, results in answered if case.kind == kind]
    assert {peer for _, results in chosen for peer in results} == {"PyTorch", "TensorFlow"}
    lines = [line for case, results in chosen for line in differences(case, results)]
    assert not lines, "\n".join(lines)
