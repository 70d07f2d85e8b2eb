"""The one way in: flags in, one verb out. `python launch.py --help` lists the verbs."""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
from pathlib import Path
from typing import TextIO

from cnn_jax.run import standard_streams, stop_signal

if __name__ == "__main__":
    standard_streams.open_closed()
    stop_signal.exit_on_signals()  # one may come while the rest is imported

from cnn_jax import flags, jax_settings, streams, xla_flags
from cnn_jax.config_parse import ConfigError
from cnn_jax.flags import Request
from cnn_jax.plain_text import plain_lines
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.run.exit_codes import DONE, FAILED, REFUSED, STOPPED
from cnn_jax.run.folder import RunFolder, RunFolderError
from cnn_jax.run.process_group import ProcessGroup


def main(argv: list[str]) -> int:
    """Runs one verb and gives the exit code."""
    os.environ["MPLBACKEND"] = "agg"  # figures go into files, whatever shows them on the user's screen
    try:
        request = flags.parse(argv)
        if request.verb != "prepare":
            jax_settings.check_environment()
            xla_flags.check_known()
    except flags.HelpRequested as text:
        print(text)
        return DONE
    except ConfigError as error:
        return refuse(error)

    try:
        return WITHOUT_NETWORK[request.verb](request) if request.verb in WITHOUT_NETWORK else one_network(request)
    except RunFailed as error:
        say(f"failed: {error}", sys.stderr)
        return FAILED
    except Exception as error:
        if (fault := explain(error)) is None:
            raise
        if request.verb == "sweep":  # whose trials may have begun
            say(f"failed: {fault}; the same command goes on", sys.stderr)
            return FAILED
        return refuse(fault)  # what happens while a run trains is a RunFailed


def one_network(request: Request) -> int:
    """Runs a verb that trains or uses one network."""
    try:
        set_xla_flags(request)
    except (ConfigError, RunFolderError) as error:
        return refuse(error)
    # JAX and all that stands on it come only now: a bad command line is answered at once.
    try:
        import jax  # noqa: F401
    except ValueError as error:  # of an environment variable
        return refuse(ConfigError([f"JAX does not start: {error}; leave out the JAX_ variable that it names"]))
    from cnn_jax import preflight
    from cnn_jax.data.errors import UnreadableRecordError, UnreadPicturesError
    from cnn_jax.train import distributed
    from cnn_jax.train.loop import DivergedError, Stopped

    try:
        preflight.check_settings()  # an experiment file may have made some
        if request.verb == "train":  # before the devices are asked for
            group = ProcessGroup(request.distributed, request.coordinator, request.num_processes, request.process_id)
            distributed.join(group)
        preflight.check_devices()
        VERBS[request.verb](request)
    except preflight.REFUSALS as error:
        return refuse(error)
    except (DivergedError, distributed.OtherProcessFailed, UnreadPicturesError, UnreadableRecordError) as error:
        say(f"failed: {error}", sys.stderr)
        return FAILED
    except Stopped:
        return STOPPED
    return DONE


def set_xla_flags(request: Request) -> None:
    """Sets the flags that the request's config, or that of its run, needs, before JAX starts and reads them."""
    experiment = request.experiment
    if experiment is None and (the(request.workdir) / "config.json").exists():
        experiment = RunFolder(the(request.workdir)).experiment()
    if experiment is not None:
        os.environ.update(xla_flags.environment(experiment))


def sweep(request: Request) -> int:
    """Runs a sweep's trials, and keeps its table and report up to date; without JAX, which its trials need alone."""
    from rich.console import Console

    from cnn_jax.analysis.periodic_writer import PeriodicWriter
    from cnn_jax.sweep import driver, exchange, repetition
    from cnn_jax.sweep.feasibility import ExaminationError

    asked, console = request.sweep, Console()
    assert asked is not None
    workdir = request.workdir or flags.default_sweep_dir(asked.plan)
    try:
        options = None if asked.verify or asked.export else asked.options
        with driver.opened(asked.plan, workdir, request.data_dir, options) as opened:
            if asked.verify:
                verdicts = repetition.verify(opened.folder, opened.entries, asked.verify, request.data_dir, console)
                return DONE if all(verdict and verdict.difference is None for verdict in verdicts.values()) else FAILED
            if asked.export:
                try:
                    done = exchange.export(asked.plan, opened.folder, opened.entries, asked.export)
                except OSError as error:
                    say(f"failed: --export: cannot write {asked.export}: {error.strerror}", sys.stderr)
                    return FAILED
                say(f"{asked.export}: {len(opened.entries)} trials, {done} of them with figures")
                return DONE
            with PeriodicWriter(workdir, request.report, console) as writer:
                outcome = driver.run(opened, asked.chosen, request.data_dir, asked.options, console, writer.update)
                writer.finish()
            matches = exchange.compare(opened.folder, opened.entries, asked.known, console)
    except (ConfigError, ExaminationError, RunFolderError) as error:
        return refuse(error)
    if outcome.stopped:
        return STOPPED
    return DONE if matches and not outcome.failed else FAILED


def compile_ahead(request: Request) -> int:
    """Compiles the steps for chips that need not be here; without JAX, which the compiling processes need alone."""
    from rich.console import Console

    from cnn_jax import terminal, whole_file
    from cnn_jax.ahead import report, run
    from cnn_jax.data import DataError

    assert request.compilation is not None
    assert request.experiment is not None
    told = Console(stderr=True)
    try:
        findings = run.run(request.experiment, request.compilation, lambda text: terminal.print_line(told, text))
    except (ConfigError, DataError) as error:
        return refuse(error)
    console = Console()
    Console(width=None if console.is_terminal else 160).print(report.as_table(findings, request.experiment))
    if request.compilation.json is not None:
        try:
            whole_file.write(request.compilation.json, report.as_json(findings, request.experiment).encode())
        except OSError as error:
            say(f"failed: --json: cannot write {request.compilation.json}: {error.strerror}", sys.stderr)
            return FAILED
    return DONE if all(step.fits for step in findings.steps) else FAILED


def prepare(request: Request) -> int:
    """Makes a folder of records; without JAX."""
    from cnn_jax.data import DataError, convert, records

    try:
        folder = convert.prepare(
            the(request.source), request.target, request.test_fraction, restart_markers=request.restart_markers
        )
        manifest = records.read_manifest(folder, "--target")
    except DataError as error:
        return refuse(error)
    counts = " and ".join(f"{count:,} {split}" for split, count in manifest.examples.items())
    say(f"{folder}: {counts} pictures of {len(manifest.class_names)} classes")
    return DONE


def filter_picture(request: Request) -> int:
    """Applies image filters to a picture."""
    from cnn_jax.inspect import filter_pictures

    assert request.filters is not None
    try:
        files = filter_pictures.write(request.filters)
    except ConfigError as error:
        return refuse(error)
    for file in files:
        say(str(file))
    return DONE


def refuse(error: Exception | str) -> int:
    """Prints why nothing was started."""
    say(f"refused: {error}", sys.stderr)
    return REFUSED


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints a message in which names of users may occur, to standard output or another stream."""
    print(plain_lines(text), file=stream)


def train(request: Request) -> None:
    """Trains, then writes the report where there is none of this result."""
    from cnn_jax.train import distributed
    from cnn_jax.train.loop import train_and_evaluate

    assert request.experiment is not None
    assert request.config_file is not None
    workdir = request.workdir or flags.default_workdir(request.config_file, request.experiment)
    result = train_and_evaluate(request.experiment, workdir, request.data_dir, profile=request.profile)
    if not distributed.is_first():
        return
    print(f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}")
    say(f"result: {workdir / 'result.json'}")
    if request.report:
        try:
            write_report(workdir, request.data_dir)
        except OSError as error:
            raise RunFailed(
                f"the run is done, and its report cannot be written: {explain(error)}; then `launch.py report "
                f"--workdir={workdir}` writes it"
            ) from error


def evaluate(request: Request) -> None:
    """Measures a finished run's network again."""
    from cnn_jax.train import restore

    run = restore.load(the(request.workdir), request.moved)
    test = run.dataset(request.data_dir).test
    measured = {f"test_{name}": value for name, value in run.evaluate(test).items()}
    print(json.dumps(measured | {"images": len(test)}, indent=2))


def predict(request: Request) -> None:
    """Classifies picture files."""
    from cnn_jax.analysis import prediction, prediction_output
    from cnn_jax.data import UnreadPicturesError
    from cnn_jax.train import restore

    run = restore.load(the(request.workdir), request.moved)
    if request.moved:
        run.dataset()  # which is refused where it is not the run's
    files, passed_over = prediction.find_pictures(request.images)
    for warning in passed_over:
        say(f"warning: {warning}", sys.stderr)
    rows = prediction.predict(run, files)
    if unreadable := prediction_output.write(rows, run.class_names, request.format, request.output):
        raise UnreadPicturesError(prediction_output.listed(unreadable, len(files)))


def inspect(request: Request) -> None:
    """Shows what the layers of a finished run's network respond to."""
    from cnn_jax.analysis import inspection

    assert request.inspection is not None
    page = inspection.write(
        inspection.Source(the(request.workdir), request.moved, request.data_dir, request.images),
        request.inspection,
        say,
    )
    say(f"page: {page}")


def summary(request: Request) -> None:
    """Prints the layer table."""
    from cnn_jax import data, geometry, geometry_table
    from cnn_jax.data.declared import declared

    assert request.experiment is not None
    shape, classes = declared(request.experiment.data)
    if shape is None or classes is None:
        dataset = data.load(request.experiment.data, request.experiment.seed, request.data_dir)
        shape, classes = dataset.image_shape, dataset.num_classes
    layers = geometry.summarize(request.experiment.model, shape, classes)
    show(request, geometry_table.as_table(layers), geometry_table.as_json(layers), geometry_table.as_csv(layers))


def report(request: Request) -> None:
    """Makes the report of a run or a sweep anew."""
    workdir = the(request.workdir)
    if (workdir / "sweep.json").exists() or (workdir / "trials").is_dir():
        if request.moved:
            raise ConfigError([f"--config.data.{name}: a sweep's report reads no data" for name in request.moved])
        write_sweep(workdir)
    else:
        write_report(workdir, request.data_dir, request.moved)


def write_report(workdir: Path, data_dir: Path | None, moved: dict[str, str] | None = None) -> None:
    """Writes the report of a finished run and prints where."""
    from cnn_jax.analysis.run_report import write_run_report
    from cnn_jax.train import restore

    say(f"report: {write_run_report(restore.load(workdir, moved), data_dir)}")


def write_sweep(workdir: Path) -> None:
    """Writes the tables and the report of a sweep, finished or not; prints where."""
    from cnn_jax.analysis.sweep_report import write_sweep_report
    from cnn_jax.sweep.table import write_table

    say(f"table: {write_table(workdir)}")
    say(f"report: {write_sweep_report(workdir)}")


def show(request: Request, table: object, as_json: str, as_csv: str) -> None:
    """Prints a result in the format that the flags ask for, and writes it to their file."""
    from rich.console import Console

    texts = {"json": as_json, "csv": as_csv}
    if request.format == "table":
        console = Console()
        Console(width=None if console.is_terminal else 160).print(table)
    else:
        text = texts[request.format].rstrip()
        print(plain_lines(text) if sys.stdout.isatty() else text)
    if request.output is not None:
        try:
            request.output.write_text(texts[request.output.suffix[1:]], encoding="utf-8", newline="")
        except OSError as error:
            raise ConfigError([f"--output: cannot write {request.output}: {error.strerror}"]) from error


def the(folder: Path | None) -> Path:
    """The folder, which the flags have seen to be given."""
    assert folder is not None
    return folder


VERBS = {"train": train, "eval": evaluate, "predict": predict, "summary": summary, "report": report, "inspect": inspect}
WITHOUT_NETWORK = {"sweep": sweep, "prepare": prepare, "compile": compile_ahead, "filter": filter_picture}

if __name__ == "__main__":
    standard_streams.protect()
    streams.protect()
    try:
        exit_code = main(sys.argv[1:])
    except KeyboardInterrupt:
        stop_signal.leave("SIGINT")
    gc.freeze()  # Python would look through all that libraries hold once more, which takes half a second
    exit_code = standard_streams.exit_code(exit_code)
    if exit_code != DONE:  # Orbax's threads wait ten minutes for the parts of a checkpoint that could not be written
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
