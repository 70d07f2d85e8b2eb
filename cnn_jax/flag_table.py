"""The commands and flags of the command line, declared once, and the help that is printed from them."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable

from absl import flags

from cnn_jax import config_fields, locations
from cnn_jax.ahead import request
from cnn_jax.inspect import filter_request, inspect_request

OF_PROCESSES = ("distributed", "coordinator", "num_processes", "process_id")
PATHS = ("config", "workdir", "data_dir", "source", "target", "output", "from", "export", "json", "image")
WRITTEN_FOLDERS = ("workdir", "data_dir", "target")  # by libraries too, which want paths in UTF-8
OF_RAY = ("address", "cpus", "gpus", "tpus", "processes")

VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "train": (
        "train one network; the same command resumes it",
        ("config", "workdir", "data_dir", "report", "profile", *OF_PROCESSES),
    ),
    "eval": ("measure a finished run's network on its test images again", ("workdir", "data_dir")),
    "predict": ("classify picture files with a finished run's network", ("workdir", "images", "format", "output")),
    "summary": ("print the layer table; starts no training", ("config", "data_dir", "format", "output")),
    "report": ("make the report of a run or a sweep anew from its folder", ("workdir", "data_dir")),
    "compile": ("compile the steps for chips that need not be here; tell what they cost", ("config", *request.FLAGS)),
    "prepare": (
        "make a folder of records from pictures, for config.data.name=records",
        ("source", "target", "test_fraction", "restart_markers"),
    ),
    "filter": ("apply image filters to a picture, and draw what they respond to", filter_request.FLAGS),
    "inspect": ("show what the layers of a finished run's network respond to", inspect_request.FLAGS),
    "sweep": (
        "run the trials of an experiment file's get_sweep(); the same command goes on with them",
        (
            *("config", "from", "workdir", "data_dir", "report", "engine", "jobs", "sweep.limit", "sweep.only"),
            *("time_limit", "memory_limit", "retry_failed", "vectorize", "verify", "export", *OF_RAY),
        ),
    ),
}

MOVABLE = ("eval", "predict", "report", "inspect")
"""Verbs of a finished run, whose data may lie elsewhere than they did: `--config.data.FIELD=PATH` says where."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "train": ("config",),
    "eval": ("workdir",),
    "predict": ("workdir", "images"),
    "summary": ("config",),
    "report": ("workdir",),
    "compile": ("config", "topology"),
    "prepare": ("source",),
    "filter": ("image", "filter"),
    "inspect": ("workdir",),
    "sweep": (),
}
_SWITCHES = ("report", "profile", "retry_failed", "largest_batch", "restart_markers", "flip", "grey")
BOOLEANS = (*_SWITCHES, *(f"no{name}" for name in _SWITCHES), "help", "helpfull")
_FORMATS = ("table", "json", "csv")
_ENGINES = ("local", "ray")
_GROUPS = ("auto", "off", "explicit")
_VECTORIZED = ("off", "seeds")


def define() -> flags.FlagValues:
    """Defines all flags, with their defaults, ranges and meanings."""
    values = flags.FlagValues()
    flags.DEFINE_string("config", None, "experiment file with get_config(); fields: --config.a.b=value", values)
    flags.DEFINE_string(
        "workdir",
        None,
        "the run's or sweep's folder; default of train and sweep: runs/<file>-<hash of the config>",
        values,
    )
    flags.DEFINE_string(
        "data_dir", None, "folder of prepared data; default: $CNN_JAX_DATA_DIR, else the user's cache folder", values
    )
    flags.DEFINE_multi_string("images", None, "picture file or folder of pictures; may be repeated", values)
    flags.DEFINE_multi_string(
        "classes",
        None,
        "of compile: how many there are, where the config does not tell; of inspect: name or number of a class, may be "
        "repeated, by default each picture's predicted class",
        values,
    )
    flags.DEFINE_string(
        "source",
        None,
        "folder of class folders, or of train/ and val/ with such; or of ImageNet's two tar files; or what TFDS made",
        values,
    )
    flags.DEFINE_string(
        "target",
        None,
        "folder to make: of records, none where TFDS has made the source; of pictures: runs/filter-<image> by default; "
        "of inspect: WORKDIR/inspect by default",
        values,
    )
    flags.DEFINE_float(
        "test_fraction", 0.2, "share of each class for testing, where there are class folders alone", 0, 1, values
    )
    flags.DEFINE_bool(
        "restart_markers", False, "write JPEGs anew, the same pixels, so that crops are decoded faster", values
    )
    flags.DEFINE_enum("format", "table", _FORMATS, "how the result is printed", values)
    flags.DEFINE_string("output", None, "also write the result to this file; .json or .csv by its ending", values)
    flags.DEFINE_bool("report", True, "write the report when the training is done", values)
    flags.DEFINE_bool("profile", False, "trace steps 10 to 20; the report shows where a step's time goes", values)
    flags.DEFINE_integer("jobs", None, "trials at a time; default: one for each core or accelerator", 1, None, values)
    flags.DEFINE_integer("sweep.limit", None, "run at most so many trials, the first", 1, None, values)
    flags.DEFINE_multi_string("sweep.only", None, "FIELD=VALUE: run trials with this value; may be repeated", values)
    flags.DEFINE_float("time_limit", None, "minutes of one attempt at a trial; default: any time", 0, None, values)
    flags.DEFINE_float("memory_limit", None, "GiB of one trial; default: its share of the machine", 0, None, values)
    flags.DEFINE_string("from", None, "file of a sweep that --export wrote: repeat it, and compare", values)
    flags.DEFINE_string("export", None, "write the sweep, all that repeating it needs, to this file", values)
    flags.DEFINE_integer("verify", None, "run so many finished trials again, and compare", 1, None, values)
    flags.DEFINE_enum(
        "distributed", "auto", _GROUPS, "several processes of one run: as the cluster tells, never, or as given", values
    )
    flags.DEFINE_string("coordinator", None, "HOST:PORT of the first process, for --distributed=explicit", values)
    flags.DEFINE_integer("num_processes", None, "of the run, for --distributed=explicit", 1, 2**20, values)
    flags.DEFINE_integer("process_id", None, "of this process, from 0, for --distributed=explicit", 0, None, values)
    flags.DEFINE_enum("engine", "local", _ENGINES, "what runs the trials", values)
    flags.DEFINE_string("address", None, "of a Ray cluster, auto for this machine's; default: starts one", values)
    flags.DEFINE_integer("cpus", 1, "cores that Ray sets aside for one process of a trial", 1, None, values)
    flags.DEFINE_integer("gpus", 0, "GPUs that Ray sets aside for one process of a trial", 0, None, values)
    flags.DEFINE_integer("tpus", 0, "TPU chips that Ray sets aside for one process of a trial", 0, None, values)
    flags.DEFINE_integer("processes", 1, "of one trial, joined, on nodes as far apart as there are", 1, None, values)
    flags.DEFINE_bool("retry_failed", False, "run trials again that have failed before", values)
    flags.DEFINE_enum(
        "vectorize", "off", _VECTORIZED, "seeds: one program trains the seeds of a point; for accelerators", values
    )
    request.define(values)
    filter_request.define(values)
    inspect_request.define(values)
    return values


def help_text(verb: str | None) -> str:
    """Gives the usage of the program, or of one verb with all its flags and config fields."""
    if verb is None:
        lines = ["usage: python launch.py VERB [--flag=value ...]", "", "verbs:"]
        lines += [f"  {name:10}{meaning}" for name, (meaning, _) in VERBS.items()]
        return "\n".join(
            [*lines, "", "python launch.py VERB --help lists a verb's flags, train's the config's fields too."]
        )
    meaning, names = VERBS[verb]
    values = define()
    lines = [f"usage: python launch.py {verb} [--flag=value ...]", "", meaning, "", "flags:"]
    for name in names:
        flag, required = values[name], name in REQUIRED[verb]
        default = "required" if required else f"default: {flag.default}"
        words = {"format": _FORMATS, "engine": _ENGINES, "distributed": _GROUPS}.get(name)
        legal = f" ({' | '.join(words)})" if words else ""
        lines += _wrapped(f"  --{name}", f"{flag.help}{legal} ({default})")
    if verb in MOVABLE:
        fields = ", ".join(f"--config.data.{name}" for name in locations.FIELDS)
        lines += _wrapped("  --config.data.FIELD", f"where the run's data lie now, the same images: {fields}")
    if "config" in names:
        lines += ["", "fields of the config, each as --config.FIELD=VALUE, with type, default and meaning:"]
        for row in config_fields.field_rows():
            only = f" [with name={row.variant}]" if row.variant else ""
            lines += _wrapped(f"  --config.{row.path}", f"{row.type}; default: {row.default}; {row.meaning}{only}")
    return "\n".join(lines)


def _wrapped(head: str, text: str) -> list[str]:
    body = textwrap.wrap(text, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return [head, *body]


def near(word: str, words: Iterable[str]) -> str:
    """Suggests the nearest of some words, for the end of an error; empty where none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def listed(names: Iterable[str]) -> str:
    """Lists flags by their names."""
    return ", ".join(f"--{name}" for name in names)
