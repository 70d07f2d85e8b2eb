"""A run killed at its file operations: `python killed_run.py EXPERIMENT FOLDER MOST`.

Trains once in FOLDER/0 without a kill and lists the operations, of all threads, on files of the run's folder. Then it
trains again in FOLDER/NUMBER, in a process that kills itself before the operation of that number: of each, or of MOST
that are spread evenly. Every run is a forked process, so that JAX is imported once. Prints a JSON object with the
operations, and the exit code of each run by its number.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from support import preloaded  # noqa: F401  imported once for all

from cnn_jax.cli import main as launch

EVENTS = {
    *("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"),
    *("os.utime", "os.listdir", "os.scandir", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
}


def train(experiment: str, workdir: Path, kill_at: int) -> tuple[int, list[str]]:
    """Trains in a process of its own; gives its exit code and its file operations, up to the kill."""
    heard = workdir.with_suffix(".heard")
    if pid := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, heard.read_text().splitlines()
    file, folder, count = os.open(heard, os.O_CREAT | os.O_WRONLY | os.O_APPEND), str(workdir), 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in EVENTS:
            return
        # What is removed by its name in an open folder, as shutil.rmtree does, names no path.
        if not str(arguments[0]).startswith(folder) and not (event in ("os.remove", "os.rmdir") and arguments[-1] >= 0):
            return
        count += 1
        os.write(file, f"{event} {arguments[0]}\n".encode())
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.addaudithook(audit)
        code = launch.main(["train", f"--config={experiment}", f"--workdir={workdir}", "--noreport"])
    finally:
        os._exit(code)


def main(experiment: str, folder: Path, most: int) -> None:
    code, operations = train(experiment, folder / "0", 0)
    assert code == 0, code
    every = max(1, len(operations) // most)
    numbers = range(1, len(operations) + 1, every)
    codes = {number: train(experiment, folder / str(number), number)[0] for number in numbers}
    print(json.dumps({"operations": operations, "codes": codes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
