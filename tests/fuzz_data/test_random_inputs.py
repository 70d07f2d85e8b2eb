"""Random damaged and odd inputs end in the right result or in one message.

`make fuzz-data` runs 200 of them, `ARGS="--inputs=1000 --first-seed=7"` others; the tests run the first few.
"""

import faulthandler

import numpy as np
import pytest

from fuzz_data import folders, pictures, sets, tables, weights

# Each is given a generator and an empty folder, and checks what comes of the input that it draws.
ALONE = {
    "pictures": pictures.picture_folder,
    "csv": tables.csv_file,
    "idx": tables.idx_file,
    "tar": tables.tar_file,
    "weights": weights.weight_file,
    "npz": sets.npz_file,
    "parquet": sets.parquet_file,
    "tar shard": sets.tar_shard,
}
ON_FOLDERS = {
    "records": folders.records_folder,
    "finished_run": folders.finished_run,
    "interrupted_run": folders.interrupted_run,
    "sweep": folders.sweep_folder,
}
CHEAP, SEED = 24, 0  # where no flags say otherwise
LONGEST = 300  # seconds until an input counts as a hang


def pytest_generate_tests(metafunc):
    if "kind" not in metafunc.fixturenames:
        return
    count = metafunc.config.getoption("--inputs", None)
    first = metafunc.config.getoption("--first-seed", None) or SEED
    kinds = [*ALONE, *ON_FOLDERS] if count else [*ALONE, *list(ON_FOLDERS)[:-1]]  # a sweep's trials take seconds
    cases = [(kinds[number % len(kinds)], first + number) for number in range(count or CHEAP)]
    metafunc.parametrize(("kind", "seed"), cases)


@pytest.fixture(scope="module")
def known(tmp_path_factory, pytestconfig, line_data, records_folder):
    with_sweep = bool(pytestconfig.getoption("--inputs", None))
    return folders.originals(tmp_path_factory.mktemp("known"), line_data, records_folder, with_sweep=with_sweep)


def test_the_right_result_or_one_message(kind, seed, tmp_path, request):
    rng = np.random.default_rng((seed, 21))
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        if kind in ALONE:
            outcome = ALONE[kind](rng, tmp_path)
        else:
            outcome = ON_FOLDERS[kind](rng, tmp_path, request.getfixturevalue("known"))
    finally:
        faulthandler.cancel_dump_traceback_later()
    print(outcome)


# TensorStore calls an event loop that Orbax has closed after an error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_flipped_bit_in_every_file_of_a_run(known, tmp_path, pytestconfig):
    if not (inputs := pytestconfig.getoption("--inputs", None)):
        pytest.skip("make fuzz-data")
    outcomes = folders.flipped_bit_in_every_file(np.random.default_rng(inputs), tmp_path, known)
    assert len(outcomes) > 60
    assert any(": 2 refused: " in outcome for outcome in outcomes)
    print("\n".join(outcomes))
