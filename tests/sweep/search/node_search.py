"""A search on a Ray cluster of several nodes: `python node_search.py EXPERIMENT WORKDIR PLANTED OPTIONS`.

The nodes are processes of this machine, by Ray's own cluster utilities. OPTIONS is a JSON object: "nodes" has the
resources of each node, the rest are fields of `Options`. A node that node_worker.py names in PLANTED/lose is killed.
Prints the pids of the nodes, the killed one last.
"""

import io
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # all processes listen to this machine alone

from ray.cluster_utils import Cluster
from rich.console import Console

from cnn_jax.sweep.folder import SweepFolder
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.driver import Driver
from cnn_jax.sweep.search.machine import WorkerMachine
from sweep.search import node_worker

SMALL = {"object_store_memory": 80 * 2**20}


def main(file: Path, workdir: Path, planted: Path, options: dict[str, Any]) -> None:
    kinds = options.pop("nodes")
    head = {"num_cpus": 0, "include_dashboard": False, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = {pid(node): node for node in [cluster.add_node(**kind, **SMALL) for kind in kinds]}
        lost: list[int] = []

        def lose() -> None:
            while not (planted / "lose").exists():
                time.sleep(0.05)
            lost.append(int((planted / "lose").read_text()))
            cluster.remove_node(nodes[lost[0]], allow_graceful=False)

        threading.Thread(target=lose, daemon=True).start()
        folder = SweepFolder(workdir)
        command = (sys.executable, node_worker.__file__, str(planted))
        machine = WorkerMachine(folder, None, Options(engine="ray", address=cluster.address, **options), 1, command)
        Driver(plan.read(file, {}), folder, machine, Console(file=io.StringIO())).run()
        print(json.dumps([*nodes, *lost]))
    finally:
        cluster.shutdown()


def pid(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), json.loads(sys.argv[4]))
