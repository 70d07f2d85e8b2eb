"""Experiment files with sweeps of small trials."""

from pathlib import Path

import pytest

from sweep.experiment_with_sweep import HEAD, RATES


@pytest.fixture
def write_experiment(tmp_path, line_data):
    """Writes an experiment file with this expression for its sweep."""

    def write(sweep: str = RATES, name: str = "rates.py") -> Path:
        path = tmp_path / name
        path.write_text(HEAD.format(data=line_data, sweep=sweep), encoding="utf-8")
        return path

    return write
