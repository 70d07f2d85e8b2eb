"""`launch.py sweep`: runs the trials of an experiment file's get_sweep()."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import fail, refuse, say
from cnn_jax.cli.shared_flags import CONFIG, DATA_DIR, ENGINE, RAY, REPORT, WORKDIR, check_ray, folder_name
from cnn_jax.cli.values import field_value
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.run.exit_codes import DONE, FAILED, STOPPED
from cnn_jax.run.folder import RunFolderError
from cnn_jax.sweep import plan
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.trial import Trial

if TYPE_CHECKING:
    from cnn_jax.sweep.reproduction_check import Evidence

_RAY = (
    *RAY,
    Flag("cpus", "cores that Ray reserves for each process of a trial", 1, int, least=1),
    Flag("processes", "processes that train a trial together, spread over the nodes", 1, int, least=1),
)


@dataclasses.dataclass(frozen=True)
class SweepRequest:
    """Parsed flags of the command.

    Attributes:
      plan: All trials.
      chosen: Trials selected by --sweep.limit and --sweep.only.
      known: Data checksum and result of each trial in the file of --from, by the trial's number.
      options: Options for running the trials.
      workdir: Folder of the sweep.
      data_dir: Folder of prepared data; None is the default folder.
      report: Whether to write the report.
      verify: Number of finished trials to run again and compare, if any.
      export: File for the exported sweep, if any.
    """

    plan: Plan
    chosen: tuple[Trial, ...]
    known: dict[int, tuple[str, Evidence]]
    options: Options
    workdir: Path
    data_dir: Path | None
    report: bool
    verify: int | None
    export: Path | None


def read(arguments: Arguments) -> SweepRequest:
    """Reads the flags, and all trials from an experiment file or an exported sweep."""
    from cnn_jax.sweep import exchange  # takes 0.1 s to import, which other commands need not wait for

    config_file, source = arguments["config"], arguments["from"]
    check_ray(arguments, [flag.name for flag in _RAY])
    if arguments["vectorize"] == "seeds" and arguments["processes"] > 1:
        raise ConfigError(["--vectorize=seeds: a program of several seeds runs in one process; leave out --processes"])
    if arguments["verify"] and arguments["export"]:
        raise ConfigError(["--verify and --export: give one of them at a time"])
    if arguments["export"] and (fault := exchange.unwritable(arguments["export"])):
        raise ConfigError([f"--export: {fault}"])
    if (config_file is None) == (source is None):
        raise ConfigError(["sweep: needs --config=FILE with get_sweep(), or --from=FILE that sweep --export wrote"])
    known: dict[int, tuple[str, Evidence]] = {}
    if config_file is not None:
        sweep = plan.read(config_file, dict(arguments.overrides))
    elif arguments.overrides:
        raise ConfigError([f"--config.{name}: cannot change the configs of --from" for name in arguments.overrides])
    else:
        sweep, known = exchange.read(source)
    return SweepRequest(
        plan=sweep,
        chosen=plan.choose(sweep, _only(arguments["sweep.only"] or ()), arguments["sweep.limit"]),
        known=known,
        options=Options(**{field.name: arguments[field.name] for field in dataclasses.fields(Options)}),
        workdir=arguments["workdir"] or default_folder(sweep),
        data_dir=arguments["data_dir"],
        report=arguments["report"],
        verify=arguments["verify"],
        export=arguments["export"],
    )


def _only(words: Iterable[str]) -> dict[str, Any]:
    """Parses the FIELD=VALUE words of --sweep.only."""
    fields, faults = {}, []
    for word in words:
        field, has_value, text = word.partition("=")
        if not has_value or not text:
            faults.append(f"--sweep.only: got {word!r}, expected FIELD=VALUE, such as seed=0")
        fields[field.removeprefix("config.")] = field_value(field.removeprefix("config."), text)
    if faults:
        raise ConfigError(faults)
    return fields


def default_folder(sweep: Plan) -> Path:
    """Returns the default folder of a sweep, which depends on its shared values but not on its points."""
    return Path("runs") / f"{folder_name(sweep.experiment)}-sweep-{sweep.digest}"


def run(request: SweepRequest) -> int:
    """Runs the command without JAX, which only its trials import."""
    try:
        return _run(request)
    except RunFailed:
        raise
    except Exception as error:  # an error of this machine after trials may have started
        if (fault := explain(error)) is None:
            raise
        return fail(f"{fault}; the same command continues")


def _run(request: SweepRequest) -> int:
    """Runs, verifies or exports a sweep, and keeps the table and the report up to date while trials run."""
    from rich.console import Console

    from cnn_jax.report.periodic_writer import PeriodicWriter
    from cnn_jax.sweep import driver, exchange, repetition
    from cnn_jax.sweep.feasibility import ExaminationError

    console, workdir = Console(), request.workdir
    try:
        options = None if request.verify or request.export else request.options
        with driver.opened(request.plan, workdir, request.data_dir, options) as opened:
            if request.verify:
                verdicts = repetition.verify(opened.folder, opened.entries, request.verify, request.data_dir, console)
                return DONE if all(verdict and verdict.difference is None for verdict in verdicts.values()) else FAILED
            if request.export:
                try:
                    done = exchange.export(request.plan, opened.folder, opened.entries, request.export)
                except OSError as error:
                    return fail(f"--export: cannot write {request.export}: {error.strerror}")
                say(f"{request.export}: {len(opened.entries)} trials, {done} of them with figures")
                return DONE
            with PeriodicWriter(workdir, request.report, console) as writer:
                outcome = driver.run(opened, request.chosen, request.data_dir, request.options, console, writer.update)
                writer.finish()
            matches = exchange.compare(opened.folder, opened.entries, request.known, console)
    except (ConfigError, ExaminationError, RunFolderError) as error:
        return refuse(error)
    if outcome.stopped:
        return STOPPED
    return DONE if matches and not outcome.failed else FAILED


COMMAND = Command(
    name="sweep",
    help="run the trials of an experiment file's get_sweep(); the same command resumes them",
    flags=(
        dataclasses.replace(CONFIG, required=False),
        Flag("from", "file that --export wrote: repeat its sweep and compare the results", path="read"),
        *(WORKDIR, DATA_DIR, REPORT),
        ENGINE,
        Flag("jobs", "concurrent trials; default: one per core or accelerator", None, int, least=1),
        Flag("sweep.limit", "run only this many trials, from the first", None, int, least=1),
        Flag("sweep.only", "FIELD=VALUE: run only trials with this value; may be repeated", repeated=True),
        Flag("time_limit", "minutes after which an attempt at a trial fails; default: no limit", None, float, least=0),
        Flag("memory_limit", "GiB per trial; default: its share of the machine", None, float, least=0),
        Flag("retry_failed", "run failed trials again", False, bool),
        Flag(
            "vectorize",
            "seeds: one program trains the seeds of a point; for accelerators",
            "off",
            choices=("off", "seeds"),
        ),
        Flag("verify", "run this many finished trials again and compare the results", None, int, least=1),
        Flag("export", "write the sweep, with all that is needed to repeat it, to this file", path="read"),
        *_RAY,
    ),
    read=read,
    run=run,
    config="fields",
)
