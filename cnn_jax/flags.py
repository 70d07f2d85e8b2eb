"""The command line: one verb, absl flags, and `--config.a.b=value` over any field of the experiment."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from absl import flags

from cnn_jax import config_parse, experiment_file, locations, text_fields, user_path
from cnn_jax.ahead import request
from cnn_jax.ahead.request import CompileRequest
from cnn_jax.config import Experiment
from cnn_jax.config_parse import ConfigError
from cnn_jax.flag_table import (
    BOOLEANS,
    MOVABLE,
    OF_PROCESSES,
    OF_RAY,
    PATHS,
    REQUIRED,
    VERBS,
    WRITTEN_FOLDERS,
    define,
    help_text,
    listed,
    near,
)
from cnn_jax.inspect import filter_request, inspect_request
from cnn_jax.inspect.filter_request import FilterRequest
from cnn_jax.inspect.inspect_request import InspectRequest
from cnn_jax.plain_text import plain, valid_unicode
from cnn_jax.sweep import exchange, plan
from cnn_jax.sweep.comparison import Evidence
from cnn_jax.sweep.options import Options
from cnn_jax.sweep.plan import Plan
from cnn_jax.sweep.trial import Trial

_NAME_BYTES = 150  # of an experiment, in the name of its folder, which may have 255
_WORDS = {"true": True, "false": False, "none": None, "null": None}


# More than ten fields: the flags of all verbs, of which each verb reads its own.
@dataclasses.dataclass(frozen=True)
class Request:
    """A command line that has been understood.

    Attributes:
      verb: a key of VERBS.
      experiment: the resolved config, for the verbs that take --config.
      config_file: where it came from.
      moved: where a finished run's data lie now, by the field of config.data.
      workdir, data_dir, images, format, output, report, profile: the flags of the same names.
      source, target, test_fraction, restart_markers: the flags of the same names.
      sweep: what the verb sweep is to do.
      compilation: what the verb compile is to do.
      filters: What the verb filter is to do.
      inspection: What the verb inspect is to show.
      distributed, coordinator, num_processes, process_id: the flags of the same names.
    """

    verb: str
    experiment: Experiment | None
    config_file: Path | None
    moved: dict[str, str]
    workdir: Path | None
    data_dir: Path | None
    images: tuple[Path, ...]
    source: Path | None
    target: Path | None
    test_fraction: float
    restart_markers: bool
    format: str
    output: Path | None
    report: bool
    profile: bool
    sweep: SweepRequest | None
    compilation: CompileRequest | None
    filters: FilterRequest | None
    inspection: InspectRequest | None
    distributed: Literal["auto", "off", "explicit"]
    coordinator: str | None
    num_processes: int | None
    process_id: int | None


@dataclasses.dataclass(frozen=True)
class SweepRequest:
    """Request of a sweep's command line.

    Attributes:
      plan: all trials.
      chosen: those that --sweep.limit and --sweep.only leave.
      known: Data checksum and result of each trial in --from's file, by the trial's number.
      options: how they run.
      verify, export: the flags of the same names.
    """

    plan: Plan
    chosen: tuple[Trial, ...]
    known: dict[int, tuple[str, Evidence]]
    options: Options
    verify: int | None
    export: Path | None


class HelpRequested(Exception):
    """The command line asks for help; the message is the text to print."""


def parse(argv: Sequence[str]) -> Request:
    """Understands a command line, or tells everything that is wrong with it.

    Args:
      argv: the words after the program's name.

    Returns:
      The request; its experiment is validated, nothing else is looked at.

    Raises:
      ConfigError: with all faults of verb, flags, file and fields.
      HelpRequested: for --help, or no words at all.
    """
    words = _joined(argv)
    wants_help = any(word in ("-h", "--h", "-help", "--help", "--helpfull", "help") for word in words)
    verb = next((word for word in words if not word.startswith("-")), "")
    if wants_help or not words:
        raise HelpRequested(help_text(verb if verb in VERBS else None))
    if verb not in VERBS:
        raise ConfigError([f"verb: got {verb!r}, expected one of: {', '.join(VERBS)}" + near(verb, VERBS)])
    words.remove(verb)
    values, overrides, faults = _flag_values(verb, words)
    experiment, sweep, compilation, filters, inspection = None, None, None, None, None
    faults += _group_faults(values)
    paths, path_faults = _paths(values)
    faults += path_faults
    config_file = paths["config"] if "config" in VERBS[verb][1] else None
    try:
        if path_faults:
            pass
        elif verb == "sweep":
            sweep = _sweep_request(values, paths, overrides)
        elif config_file is not None:
            raw = experiment_file.load_config(config_file)
            experiment = config_parse.parse(config_parse.override(raw, overrides))
    except ConfigError as error:
        faults += error.faults
    if verb == "compile" and values.topology:
        try:
            compilation = request.read(values)
        except ConfigError as error:
            faults += error.faults
    if verb == "filter" and not faults:
        filters = filter_request.read(values, paths, parse_value)
    if verb == "inspect" and not faults:
        inspection = inspect_request.read(values, paths)
    if faults:
        raise ConfigError(faults)
    return Request(
        verb=verb,
        experiment=experiment,
        config_file=config_file,
        moved=overrides if verb in MOVABLE else {},
        workdir=paths["workdir"],
        data_dir=paths["data_dir"],
        images=tuple(user_path.expand(image) for image in values.images or ()),
        source=paths["source"],
        target=paths["target"],
        test_fraction=values.test_fraction,
        restart_markers=values.restart_markers,
        format=values.format,
        output=paths["output"],
        report=values.report,
        profile=values.profile,
        sweep=sweep,
        compilation=compilation,
        filters=filters,
        inspection=inspection,
        distributed=values.distributed,
        coordinator=values.coordinator,
        num_processes=values.num_processes,
        process_id=values.process_id,
    )


def _paths(values: Any) -> tuple[dict[str, Path | None], list[str]]:
    """Reads the flags that name a file or a folder, and tells of those that cannot."""
    given = {name: values[name].value for name in PATHS}
    faults = [f"--{name}: {fault}" for name, text in given.items() if text and (fault := user_path.fault_of(text))]
    faults += [f"--images: {fault}" for image in values.images or () if (fault := user_path.fault_of(image))]
    if faults:
        return dict.fromkeys(PATHS), faults
    faults += [
        f"--{name}: got {text!r}, whose bytes are not UTF-8; name another folder"
        for name, text in given.items()
        if name in WRITTEN_FOLDERS and text and valid_unicode(text) != text
    ]
    paths = {name: user_path.expand(text) if text else None for name, text in given.items()}
    output, workdir = paths["output"], given["workdir"]
    if workdir and "://" in workdir:
        faults.append(
            f"--workdir: got {workdir!r}, expected a folder of a file system; mount a bucket first, by gcsfuse for one"
        )
    if output is not None and output.suffix not in (".json", ".csv"):
        faults.append(f"--output: got {given['output']!r}, expected a file that ends in .json or .csv")
    elif output is not None and output.is_dir():
        faults.append(f"--output: {output} is a folder")
    elif output is not None and not output.parent.is_dir():
        faults.append(f"--output: got {given['output']!r}, and there is no folder {str(output.parent)!r}")
    return paths, faults


def _group_faults(values: Any) -> list[str]:
    """Tells flags of several processes that do not go together."""
    given = [name for name in OF_PROCESSES[1:] if values[name].value is not None]
    if values.distributed != "explicit":
        return [f"--{name}: is for --distributed=explicit" for name in given]
    if missing := [name for name in OF_PROCESSES[1:] if name not in given]:
        return [f"--{name}: --distributed=explicit needs it: {values[name].help}" for name in missing]
    host, _, port = values.coordinator.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 2**16:
        return [f"--coordinator: got {values.coordinator!r}, expected HOST:PORT, such as 10.0.0.1:8476"]
    if values.process_id >= values.num_processes:
        return [f"--process_id: got {values.process_id}, expected 0 to {values.num_processes - 1}"]
    return []


def _sweep_request(values: Any, paths: Mapping[str, Path | None], overrides: dict[str, Any]) -> SweepRequest:
    """Reads all trials, from an experiment file or from another laboratory's."""
    config_file, source = paths["config"], paths["from"]
    if values.engine != "ray" and (given := [name for name in OF_RAY if values[name].present]):
        raise ConfigError([f"--{name}: is for --engine=ray" for name in given])
    if values.vectorize == "seeds" and values.processes > 1:
        raise ConfigError(["--vectorize=seeds: a program of several seeds runs in one process; leave out --processes"])
    if values.verify and values.export:
        raise ConfigError(["--verify and --export: give one of them at a time"])
    if values.export and (fault := exchange.unwritable(Path(values.export).expanduser())):
        raise ConfigError([f"--export: {fault}"])
    known: dict[int, tuple[str, Evidence]] = {}
    if (config_file is None) == (source is None):
        raise ConfigError(["sweep: needs --config=FILE with get_sweep(), or --from=FILE that sweep --export wrote"])
    if config_file is not None:
        sweep = plan.read(config_file, overrides)
    elif overrides:
        raise ConfigError([f"--config.{name}: the configs in the file of --from hold" for name in overrides])
    elif source is not None:
        sweep, known = exchange.read(source)
    return SweepRequest(
        plan=sweep,
        chosen=plan.choose(sweep, _only(values["sweep.only"].value or ()), values["sweep.limit"].value),
        known=known,
        options=Options(**{field.name: values[field.name].value for field in dataclasses.fields(Options)}),
        verify=values.verify,
        export=paths["export"],
    )


def _only(words: Iterable[str]) -> dict[str, Any]:
    """Reads the FIELD=VALUE of --sweep.only."""
    fields, faults = {}, []
    for word in words:
        field, has_value, text = word.partition("=")
        if not has_value or not text:
            faults.append(f"--sweep.only: got {word!r}, expected FIELD=VALUE, such as seed=0")
        fields[field.removeprefix("config.")] = _field_value(field.removeprefix("config."), text)
    if faults:
        raise ConfigError(faults)
    return fields


def _joined(argv: Sequence[str]) -> list[str]:
    """Writes `--name value` as `--name=value`, as absl reads it, and `--a-b` as `--a_b`."""
    words: list[str] = []
    takes_value = False
    for word in argv:
        if takes_value and not word.startswith("-"):
            words[-1] += f"={word}"
            takes_value = False
            continue
        name, *rest = word.removeprefix("--").split("=", 1)
        if word.startswith("--") and not name.startswith("config."):
            name = name.replace("-", "_")
            word = "=".join([f"--{name}", *rest])
        takes_value = word.startswith("--") and "=" not in word and name not in BOOLEANS
        words.append(word)
    return words


def _flag_values(verb: str, words: list[str]) -> tuple[Any, dict[str, Any], list[str]]:
    legal = VERBS[verb][1]
    values, overrides, faults = define(), {}, []
    known = []
    for word in words:
        name, has_value, text = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            again = "; repeat --images for each file, or name their folder" if "images" in legal else ""
            faults.append(f"{word!r}: unexpected word; a flag is written --name=value{again}")
        elif name.startswith("config."):
            field = name.removeprefix("config.data.")
            if "config" not in legal and not (verb in MOVABLE and field in locations.FIELDS):
                where = f"; --config.data.{'|'.join(locations.FIELDS)} may say where its data lie" * (verb in MOVABLE)
                faults.append(f"--{name}: {verb} takes no config; the run's own config.json holds{where}")
            elif not has_value or (verb in MOVABLE and not text):
                faults.append(f"--{name}: no value given; write --{name}=value")
            elif verb in MOVABLE:
                overrides[field] = text
            else:
                overrides[name.removeprefix("config.")] = _field_value(name.removeprefix("config."), text)
        elif name.removeprefix("no") not in legal and name not in legal:
            if name in values or name.removeprefix("no") in values:
                faults.append(f"--{name}: not a flag of {verb}, which has: {listed(legal)}")
            else:
                faults.append(f"--{name}: unknown flag" + (near(name, legal) or f"; {verb} has: {listed(legal)}"))
        elif "\0" in text:
            faults.append(f"--{name}: got {text!r}, expected text without NUL characters")
        elif has_value and name in BOOLEANS and name not in legal:
            faults.append(f"--{name}: got {text!r}; it takes no value: write --{name}, or --{name[2:]}=false")
        elif not has_value and name not in BOOLEANS:
            faults.append(f"--{name}: no value given; write --{name}=value")
        elif has_value and not text:
            faults.append(f"--{name}: empty; expected {values[name].help}")
        else:
            known.append(word)
    for word in known:
        try:
            values([verb, word])
        except flags.Error as error:
            faults.append(f"--{word.lstrip('-').partition('=')[0]}: {error}".replace("flag ", "", 1))
    values.mark_as_parsed()
    for name in legal:
        if isinstance(values[name].value, float) and not math.isfinite(values[name].value):
            faults.append(f"--{name}: got {values[name].value}, expected a finite number: {values[name].help}")
    given = {word.lstrip("-").partition("=")[0] for word in words}
    faults += [f"--{name}: {verb} needs it: {values[name].help}" for name in REQUIRED[verb] if name not in given]
    return values, overrides, faults


def default_workdir(config_file: Path, experiment: Experiment) -> Path:
    """The folder of a run that names none: runs/<file>-<hash>, another one for every config."""
    digest = hashlib.sha256(experiment.model_dump_json().encode()).hexdigest()
    return Path("runs") / f"{_folder_name(config_file.stem)}-{digest[:8]}"


def default_sweep_dir(sweep: Plan) -> Path:
    """The folder of a sweep that names none; more points leave it the same, other shared values do not."""
    return Path("runs") / f"{_folder_name(sweep.experiment)}-sweep-{sweep.digest}"


def _folder_name(experiment: str) -> str:
    """An experiment's name as a folder may have it: no control characters, and short enough for every file system."""
    return plain(experiment).encode()[:_NAME_BYTES].decode(errors="ignore")


def _field_value(field: str, text: str) -> Any:
    """Reads the value of a config field: as text where the field takes text, else as `parse_value` does."""
    kind = text_fields.kind_of(field)
    return parse_value(text) if kind is None else text_fields.read(text, *kind)


def parse_value(text: str) -> Any:
    """Reads an override's value.

    Args:
      text: a Python literal, in which words need no quotes: (SAME, 1); true, false or none in any case; else
        any text.

    Returns:
      The literal, or the text itself.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text, mode="eval")
        if not isinstance(tree.body, ast.Name):
            return ast.literal_eval(_Quoted().visit(tree))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass  # no literal, or one that Python cannot read: unhashable keys, thousands of signs or brackets
    return text


class _Quoted(ast.NodeTransformer):
    """Turns the bare words of a literal into strings."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        return ast.Constant(_WORDS.get(node.id.lower(), node.id))
