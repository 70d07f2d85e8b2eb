"""Packing and unpacking, killed before each change of a file: `python killed_packing.py FOLDER`.

FOLDER holds a run. Every process is forked from this one, works on a copy of the run, and kills itself before its
n-th change, for every n; a second one then does the same work undisturbed. Prints a JSON list with, for each kill, the
work and the bytes of the checkpoints that can then be read.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from cnn_jax.run.folder import RunFolder
from cnn_jax.run.packed_checkpoints import opened, pack, unpack
from support.forked import forked


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
