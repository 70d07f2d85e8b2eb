"""Searches on a Ray of several nodes: one that is lost, and nodes of different kinds; `make test-ray` runs them."""

import json
import subprocess
import sys
from pathlib import Path

from cnn_jax.sweep.engines import confinement
from sweep.search import node_search
from sweep.search.stand_in import write
from sweep.search.test_search_driver import searched, state

TESTS = Path(__file__).parents[2]
HALVED = "Search(SPACE, trials=6, sampler='halton', batch=6, stopping=Halving(eta=3), confirm=1, seeds=2)"


def test_a_node_that_is_lost_in_mid_search_changes_nothing(tmp_path):
    file = write(tmp_path, HALVED)
    searched(file, tmp_path / "whole")
    planted = tmp_path / "lost"
    first, second, lost = run(file, tmp_path / "search", planted, {"nodes": [{"num_cpus": 1}, {"num_cpus": 1}]})
    assert lost in (first, second)
    assert state(tmp_path / "search") == state(tmp_path / "whole")
    trained_by = {int(path.read_text()) for path in planted.glob("*.node")}
    assert trained_by == {first, second} - {lost}, "all trials have trained last on the node that is left"


def with_gpu(kind):
    return {"num_cpus": 1, "num_gpus": 1, "resources": {f"accelerator_type:{kind}": 1}}


def test_trials_that_need_an_accelerator_run_where_there_is_one(tmp_path):
    file = write(tmp_path, HALVED)
    searched(file, tmp_path / "whole")
    planted = tmp_path / "kinds"
    nodes = [{"num_cpus": 2}, with_gpu("A100"), with_gpu("H100")]
    *_, with_h100 = run(file, tmp_path / "search", planted, {"nodes": nodes, "gpus": 1, "accelerator": "H100"})
    assert state(tmp_path / "search") == state(tmp_path / "whole")
    trained_by = {int(path.read_text()) for path in planted.glob("*.node")}
    assert trained_by == {with_h100}


def test_an_accelerator_that_no_node_has_is_refused(tmp_path):
    file = write(tmp_path, HALVED)
    options = {"nodes": [with_gpu("A100")], "gpus": 1, "accelerator": "A10"}
    (tmp_path / "none").mkdir()
    done = started(file, tmp_path / "search", tmp_path / "none", options)
    assert "--accelerator=A10: no node of the cluster has this accelerator; did you mean 'A100'?" in done.stderr
    assert not list((tmp_path / "none").iterdir()), "nothing was trained"


def run(file, workdir, planted, options):
    """Runs a search on a cluster; gives the pids of its nodes, the lost one last."""
    planted.mkdir()
    done = started(file, workdir, planted, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def started(file, workdir, planted, options):
    """Starts the cluster and the search in a process of their own, and awaits its end."""
    environment = confinement.environment({})
    environment["PYTHONPATH"] += f":{TESTS}"
    words = [sys.executable, node_search.__file__, str(file), str(workdir), str(planted), json.dumps(options)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=300)
