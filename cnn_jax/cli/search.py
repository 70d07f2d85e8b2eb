"""`launch.py search`: searches the fields of an experiment file's get_search() by validation accuracy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cnn_jax.cli.command import Arguments, Command, Flag
from cnn_jax.cli.output import fail, refuse, say
from cnn_jax.cli.shared_flags import CONFIG, DATA_DIR, ENGINE, RAY, REPORT, WORKDIR, check_ray, folder_name
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.errors import RunFailed, explain
from cnn_jax.run.exit_codes import DONE, STOPPED
from cnn_jax.run.folder import RunFolderError
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.search import plan
from cnn_jax.sweep.search.declaration import SAMPLERS
from cnn_jax.sweep.search.plan import SearchPlan

_SEARCH = (
    Flag("search.seed", "seed of the sampler, instead of the file's", None, int, least=0),
    Flag("search.sampler", "sampler of the points, instead of the file's", choices=SAMPLERS),
    Flag("search.trials", "number of points, instead of the file's", None, int, least=1),
    Flag("search.stopping", "none: train every trial to the end", choices=("none",)),
)


@dataclasses.dataclass(frozen=True)
class SearchRequest:
    """Parsed flags of the command.

    Attributes:
      plan: The search.
      options: Options for running its trials.
      workdir: Folder of the search.
      data_dir: Folder of prepared data; None is the default folder.
      report: Whether to write the report.
    """

    plan: SearchPlan
    options: Options
    workdir: Path
    data_dir: Path | None
    report: bool


def read(arguments: Arguments) -> SearchRequest:
    """Reads the flags, and the search from the experiment file."""
    names = [flag.name for flag in RAY]
    check_ray(arguments, names)
    changes = {  # None: not given, or not legal
        flag.name.removeprefix("search."): arguments[flag.name] for flag in _SEARCH if arguments[flag.name] is not None
    }
    if "stopping" in changes:
        changes["stopping"] = None
    found = plan.read(arguments["config"], dict(arguments.overrides), changes)
    names += ["engine", "jobs", "time_limit", "memory_limit", "vectorize"]
    return SearchRequest(
        plan=found,
        options=Options(**{name: arguments[name] for name in names}),
        workdir=arguments["workdir"] or Path("runs") / f"{folder_name(found.experiment)}-search-{found.digest}",
        data_dir=arguments["data_dir"],
        report=arguments["report"],
    )


def run(request: SearchRequest) -> int:
    """Runs the command without JAX, which only its trials import."""
    from rich.console import Console

    from cnn_jax.report.periodic_writer import PeriodicWriter
    from cnn_jax.sweep.feasibility import ExaminationError
    from cnn_jax.sweep.folder import SweepFolder
    from cnn_jax.sweep.search.driver import Driver, SearchBlocked, SearchStopped
    from cnn_jax.sweep.search.machine import WorkerMachine

    console, workdir = Console(), request.workdir
    folder = SweepFolder(workdir)
    machine = WorkerMachine(folder, request.data_dir, request.options, request.plan.search.cores)
    try:
        with PeriodicWriter(workdir, request.report, console) as writer:
            found = Driver(request.plan, folder, machine, console, writer.update).run()
            writer.finish()
    except (ConfigError, ExaminationError, RunFolderError) as error:
        return refuse(error)
    except SearchBlocked as error:
        return fail(error)
    except SearchStopped:
        return STOPPED
    except RunFailed:
        raise
    except Exception as error:  # an error of this machine after trials may have started
        if (fault := explain(error)) is None:
            raise
        return fail(f"{fault}; the same command continues")
    metric = request.plan.metric
    say(f"{found.spent} of at most {found.budget} epochs were spent on {len(found.points)} points")
    for each in found.confirmed:
        line = f"point {each.number}: validation {metric.title} {metric.shown(each.search_score)} in the search"
        if each.scores:
            mean = sum(each.scores) / len(each.scores)
            line += f", {metric.shown(mean)} on {len(each.scores)} fresh seeds"
        if each.test:
            line += f"; test {metric.title} {metric.shown(sum(each.test) / len(each.test))}"
        say(line)
    return DONE


COMMAND = Command(
    name="search",
    help="search the fields of an experiment file's get_search(); the same command resumes it",
    flags=(
        CONFIG,
        *(WORKDIR, DATA_DIR, REPORT),
        ENGINE,
        Flag("jobs", "concurrent trials; default: as many as the cores or accelerators allow", None, int, least=1),
        Flag("time_limit", "minutes after which an attempt at a trial fails", None, float, least=0),
        Flag("memory_limit", "GiB per trial; default: its share of the machine", None, float, least=0),
        Flag("vectorize", "seeds: one program confirms all seeds of a point", "off", choices=("off", "seeds")),
        *RAY,
        *_SEARCH,
    ),
    read=read,
    run=run,
    config="fields",
)
