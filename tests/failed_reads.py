"""A command whose reads below Python fail: `python failed_reads.py WATCHED EVERY SOURCE FOLDER WORD...`.

For each read, or each EVERY-th, of a file under WATCHED the folder SOURCE is copied to FOLDER/NUMBER, and the command
is given with that read failing; then, where it did not end well, once more without. "{run}" in WATCHED and in the words
of the command is the copy. Odd numbers fail once, even ones go on to fail for that file. Everything happens in this
process, into which `failed_reads.c` is preloaded, so that programs are compiled once. Prints one JSON object for each.
"""

import contextlib
import ctypes
import io
import json
import shutil
import sys
from pathlib import Path

from cnn_jax.cli import main as launch
from cnn_jax.train import checkpoint, loop  # noqa: F401  not among the reads that are counted


def command(words: list[str]) -> tuple[int, str]:
    """Gives the exit code and all that was said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = launch.main(words)
    return code, said.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main(watched: str, every: int, source: Path, folder: Path, words: list[str]) -> None:
    shim = ctypes.CDLL(None)
    shim.file_failed.restype = ctypes.c_char_p
    number, failed = 0, 1
    while failed:
        number += every if number else 1
        run = folder / str(number)
        shutil.copytree(source, run)
        kept = files(run)
        given = [word.format(run=run) for word in words]
        shim.fail_reads(watched.format(run=run).encode(), number, number % 2 == 0)
        code, said = command(given)
        failed, file = shim.reads_failed(), shim.file_failed().decode()
        shim.fail_reads(b"", 0, 0)
        untouched = files(run) == kept
        again = command(given) if code else (0, "")
        told = {"failed": failed, "file": file, "code": code, "said": said, "untouched": untouched, "again": again}
        print(json.dumps({"number": number} | told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:])
