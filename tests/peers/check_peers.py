"""Convolution and pooling against PyTorch and TensorFlow, which run in an environment of their own."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.quick_programs import QUICK

from peers.cases import KINDS, generate, large, load, save
from peers.compare import computed, differences


@pytest.fixture(scope="module")
def answered(pytestconfig, tmp_path_factory):
    """Cases, each with cnn_jax's outcomes and the peers' results, which are computed at the same time.

    The random ones, hundreds of programs, are compiled quickly; the large ones as users compile.
    """
    peers, seed = pytestconfig.getoption("--peers"), pytestconfig.getoption("--seed")
    if not peers:
        pytest.fail("--peers=PYTHON is missing; `make test-peers` passes it")
    folder = tmp_path_factory.mktemp("peers")
    random, big = generate(seed, pytestconfig.getoption("--cases")), list(large(seed))
    save(folder / "cases.npz", [*random, *big])
    words = [peers, "-m", "peers.reference", str(folder / "results.npz"), f"--cases={folder / 'cases.npz'}"]
    with (
        subprocess.Popen(words, cwd=Path(__file__).parents[1], stderr=subprocess.PIPE, text=True) as process,
        ThreadPoolExecutor(2) as pool,
    ):
        outcomes = list(pool.map(lambda case: computed(case, QUICK), random))
        outcomes += [computed(case) for case in big]
        _, errors = process.communicate()
    assert process.returncode == 0, errors[-4000:]
    cases, results = load(folder / "results.npz")
    return list(zip(cases, outcomes, results, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_the_peers(answered, kind):
    chosen = [each for each in answered if each[0].kind == kind]
    assert {peer for _, _, results in chosen for peer in results} == {"PyTorch", "TensorFlow"}
    lines = [line for each in chosen for line in differences(*each)]
    assert not lines, "\n".join(lines)
