"""The page of a finished sweep against figures worked out by hand."""

import pytest
from sweep.written_sweep import finish, trial_of, write_sweep

from scripts.results_page import write_page


@pytest.fixture
def sweep(tmp_path):
    accuracies = {"SAME": (0.80, 0.82, 0.84), "VALID": (0.79, 0.80, 0.81)}
    points = [(padding, seed) for padding in accuracies for seed in range(3)]
    trials = [trial_of(n, {"model.padding": padding}, seed) for n, (padding, seed) in enumerate(points)]
    write_sweep(tmp_path / "sweep", ["model.padding"], trials, {"model.padding": "SAME"})
    return tmp_path / "sweep", trials, [accuracies[padding][seed] for padding, seed in points]


def test_figures_and_pictures(sweep, tmp_path):
    folder, trials, accuracies = sweep
    for trial, accuracy in zip(trials, accuracies, strict=True):
        finish(folder, trial, accuracy)
    page = write_page(folder, tmp_path / "results")
    assert page == tmp_path / "results" / "padding_and_stride" / "README.md"
    text = page.read_text()
    # Student's t for two degrees of freedom is 4.3027: 82 +- 4.3027 x 2 / sqrt(3), -2 +- 4.3027 x 1 / sqrt(3); the
    # difference is sqrt(12) standard errors from 0
    assert "| padding=SAME | 3 | 82.00 | 77.03 to 86.97 | baseline |  |  | 1,000 | 50,000 | 20 |" in text
    assert (
        "| padding=VALID | 3 | 80.00 | 77.52 to 82.48 | -2.00 | -4.48 to +0.48 | 0.074 | 1,000 | 50,000 | 20 |" in text
    )
    assert "6 trials, 6 done; Example 9000; jax 0.10.2, flax 0.12.8; commit aaaaaaaaaaaa." in text
    shown = {line.split("(")[1][:-1] for line in text.splitlines() if line.startswith("![")}
    assert shown == {file.name for file in page.parent.glob("*.png")} != set()


def test_a_sweep_that_has_not_ended(sweep, tmp_path):
    folder, trials, _ = sweep
    finish(folder, trials[0], 0.8)
    with pytest.raises(SystemExit, match="5 trials have not ended; run the sweep first"):
        write_page(folder, tmp_path)
