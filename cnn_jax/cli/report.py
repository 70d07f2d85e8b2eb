"""`launch.py report`: rewrites the report of a run or a sweep from its folder, or compares the runs in a folder."""

from __future__ import annotations

import functools
from pathlib import Path

from cnn_jax.cli import compare, with_jax
from cnn_jax.cli.command import Command
from cnn_jax.cli.compare import CompareRequest
from cnn_jax.cli.finished_run import FLAGS, FinishedRunRequest, read
from cnn_jax.cli.output import refuse, say
from cnn_jax.config.parsing import ConfigError


def report(request: FinishedRunRequest) -> None:
    """Writes the report of a run, or the tables and the report of a sweep, whether finished or not."""
    from cnn_jax.report.compared_runs import is_sweep

    workdir = request.workdir
    if not is_sweep(workdir):
        write_run(workdir, request.data_dir, request.moved)
        return
    if request.moved:
        raise ConfigError([f"--config.data.{name}: a sweep's report reads no data" for name in request.moved])
    from cnn_jax.report.sweep_report import write_sweep_report
    from cnn_jax.sweep.table import write_table

    say(f"table: {write_table(workdir)}")
    say(f"report: {write_sweep_report(workdir)}")


def write_run(workdir: Path, data_dir: Path | None, moved: dict[str, str] | None = None) -> None:
    """Writes the report of a finished run and prints its path."""
    from cnn_jax.report.run_report import write_run_report
    from cnn_jax.train import restore

    say(f"report: {write_run_report(restore.load(workdir, moved), data_dir)}")


def run(request: FinishedRunRequest) -> int:
    """Runs the command. The runs in a folder of several runs or sweeps are compared, without JAX."""
    from cnn_jax.report import compared_runs

    workdir = request.workdir
    if compared_runs.holds_runs(workdir):
        if request.moved:
            return refuse(ConfigError([f"--config.data.{name}: a comparison reads no data" for name in request.moved]))
        return compare.run(CompareRequest((workdir,), "table", workdir / "comparison.html", "--workdir"))
    return with_jax.run(functools.partial(report, request), workdir=request.workdir)


COMMAND = Command(
    name="report",
    help="rewrite the report of a run or a sweep from its folder, or compare the runs in a folder",
    flags=FLAGS,
    read=read,
    run=run,
    config="moved",
)
