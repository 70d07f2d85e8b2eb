"""Packing and unpacking, killed before each change of a file: `python killed_packing.py FOLDER`.

FOLDER holds a run. Every process is forked from this one, works on a copy of the run, and kills itself before its
n-th change, for every n; a second one then does the same work undisturbed. Prints a JSON list with, for each kill, the
work and the bytes of the checkpoints that can then be read.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn_jax.run.folder import RunFolder
from cnn_jax.run.packed_checkpoints import opened, pack, unpack

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")


def forked(action: Callable[[], None], kill_at: int = 0) -> int:
    """Runs in a process of its own that kills itself before so many changes; gives its exit code."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    count = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
        if writes or event in CHANGES:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def content(folder: RunFolder) -> list[str]:
    """Names and digests of the files of checkpoints 3 and 5, wherever they lie."""
    found = []
    for step in (3, 5):
        with opened(folder, step) as directory:
            for path in sorted((directory / str(step)).rglob("*")):
                if path.is_file():
                    digest = hashlib.sha256(path.read_bytes()).hexdigest()
                    found.append(f"{path.relative_to(directory)} {digest}")
    return found


def main(folder: Path) -> None:
    told = []
    packed = folder.with_name("packed")
    shutil.copytree(folder, packed)
    pack(RunFolder(packed))
    for action, source in ((pack, folder), (unpack, packed)):
        for number in range(1, 1000):
            run = RunFolder(folder.with_name("killed"))
            shutil.copytree(source, run.path)
            killed = forked(lambda: action(run), number)  # noqa: B023
            between = content(run)
            again = forked(lambda: action(run))  # noqa: B023
            told.append((action.__name__, killed, again, between, content(run), sorted(os.listdir(run.path))))
            shutil.rmtree(run.path)
            if killed == 0:
                break
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
