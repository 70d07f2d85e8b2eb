"""Parts of an engine that the command line chooses."""

import pytest

from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep.engines import from_options
from cnn_jax.sweep.options import Options


@pytest.mark.parametrize(
    ("given", "variable", "address"),
    [
        (None, None, None),  # a Ray of its own
        (None, "", None),
        ("10.0.0.1:6379", None, "10.0.0.1:6379"),
        ("auto", "10.0.0.1:6379", "auto"),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),  # as Ray sets it for a job
        ("local", "10.0.0.1:6379", None),
    ],
)
def test_a_job_joins_the_cluster_that_it_runs_in(monkeypatch, given, variable, address):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert from_options.cluster_address(given) == address


def test_a_server_of_jobs_is_no_cluster(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS: got 'http://127.0.0.1:8265'.*ray job submit"):
        from_options.cluster_address(None)
    with pytest.raises(ConfigError, match=r"--address: got"):
        from_options.cluster_address("http://127.0.0.1:8265")


def test_jobs_share_nine_tenths_of_the_memory(monkeypatch):
    monkeypatch.setattr(from_options.confinement, "total_bytes", lambda: 1000)
    assert from_options.limits(Options(), jobs=3).bytes == 300
    limits = from_options.limits(Options(memory_limit=2, time_limit=1.5), jobs=3)
    assert (limits.bytes, limits.seconds) == (2 * 2**30, 90)


def test_jobs_get_inherited_gpus_where_there_are_any(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    given = from_options.gpu_variables("gpu", 2, jobs=2)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given] == ["2", "3"]
    assert from_options.gpu_variables("gpu", 2, jobs=1) == []
    assert from_options.gpu_variables("cpu", 1, jobs=2) == []
