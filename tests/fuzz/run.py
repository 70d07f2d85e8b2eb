"""Runs random experiments, legal and bad, to their ends: `make fuzz`.

Each legal one trains for two steps on tiny data. An end other than exit code 0 or 2, a traceback, or more than
_SECONDS is a failure, which names the case; `--kind=legal --first=17 --count=1` runs that one again.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import gc
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import jax

from cnn_jax.cli import main as launch
from tests.fuzz import cases, sources

_SECONDS = 240  # for one case, whose program may be that of a ResNet-50
# What comes out does not matter here, and unoptimised programs compile in less time.
_XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_CLEARED = 20  # cases after which compiled programs are dropped


def main(argv: list[str]) -> int:
    """Runs the cases that the command line names and gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--kind", choices=("legal", "bad", "both"), default="both")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end early after so many seconds")
    args = parser.parse_args(argv)
    kinds = ("legal", "bad") if args.kind == "both" else (args.kind,)
    started, failures = time.monotonic(), 0
    os.environ.setdefault("XLA_FLAGS", _XLA_FLAGS)
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):  # bad ones may name any folder
        folder = Path(name)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
        jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        data = sources.write(folder)
        for kind in kinds:
            ends: collections.Counter[str] = collections.Counter()
            for number in range(args.first, args.first + args.count):
                if time.monotonic() - started > args.seconds:
                    print(f"{kind}: ended before case {number}")
                    break
                end, text = run(kind, args.seed, number, data, folder)
                ends[end] += 1
                if end not in ("0", "2"):
                    failures += 1
                    print(f"FAILED: --seed={args.seed} --kind={kind} --first={number} --count=1\n{text}", flush=True)
                elif args.count <= 5:
                    print(text)
                if number % _CLEARED == 0:
                    jax.clear_caches()
                    gc.collect()
            print(f"{kind}: {dict(ends)}", flush=True)
    return int(failures > 0)


def run(kind: str, seed: int, number: int, data: cases.Sources, folder: Path) -> tuple[str, str]:
    """Runs one case.

    Returns:
      The exit code, "traceback" or "not one message"; and what was printed, the experiment first.
    """
    tree, words = (cases.legal(seed, number, data), []) if kind == "legal" else cases.bad(seed, number, data)
    config, workdir = folder / "experiment.py", folder / "run"
    config.write_text(
        f"inf, nan = float('inf'), float('nan')\ndef get_config():\n    return {tree!r}\n", encoding="utf-8"
    )
    words = [word.replace("{config}", str(config)) for word in words]
    shutil.rmtree(workdir, ignore_errors=True)
    faulthandler.dump_traceback_later(_SECONDS, exit=True, file=sys.__stderr__)
    started = time.monotonic()
    print(f"{kind} {number}: {tree['model']['name'] if kind == 'legal' else words}", end=" ", flush=True)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            argv = ["train", f"--config={config}", f"--workdir={workdir}", "--noreport", *words]
            end = str(launch.main(argv))
        except BaseException:  # whatever it is, it is no message to a user
            end = "traceback"
            traceback.print_exc()
    faulthandler.cancel_dump_traceback_later()
    print(f"-> {end}, {time.monotonic() - started:.1f} s", flush=True)
    if end == "2" and not err.getvalue().startswith("refused: "):
        end = "2 without a message"
    return end, f"{json.dumps(tree, default=repr)}\n{words}\n{out.getvalue()[-3000:]}\n{err.getvalue()[-6000:]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
