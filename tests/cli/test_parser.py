"""The command line, understood or refused."""

import pytest

from cnn_jax.cli import main
from cnn_jax.cli.parser import HelpRequested
from cnn_jax.cli.values import parse_value
from cnn_jax.config.parsing import ConfigError
from cnn_jax.run.process_group import ProcessGroup


def parse(words):
    """The request of a command line."""
    return main.parse(words)[1]


@pytest.fixture
def experiment_file(tmp_path):
    path = tmp_path / "small.py"
    path.write_text("def get_config():\n    return {'train': {'epochs': 2}}\n")
    return path


def test_flags_and_overrides(experiment_file):
    request = parse(["train", f"--config={experiment_file}", "--config.train.batch_size=8", "--noreport"])
    assert (request.experiment.train.epochs, request.experiment.train.batch_size) == (2, 8)
    assert (request.report, request.profile) == (False, False)
    assert parse(["train", f"--config={experiment_file}", "--profile"]).profile is True


def test_an_experiment_object_will_do(tmp_path):
    path = tmp_path / "typed.py"
    path.write_text(
        "from cnn_jax.config import Experiment, Train\n"
        "def get_config():\n    return Experiment(train=Train(epochs=9))\n"
    )
    request = parse(["summary", f"--config={path}", "--config.seed=4"])
    assert (request.experiment.train.epochs, request.experiment.seed) == (9, 4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1e-3", 1e-3),
        ("True", True),
        ("false", False),
        ("none", None),
        ("SAME", "SAME"),
        ("(1,2)", (1, 2)),
        ("('SAME',1)", ("SAME", 1)),
        ("(SAME,1)", ("SAME", 1)),
        ("[max, none]", ["max", None]),
        ("(f(x),)", "(f(x),)"),
        ("a b", "a b"),
    ],
)
def test_values(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_flag_and_its_value_may_be_two_words(experiment_file):
    request = parse(["train", "--config", str(experiment_file), "--config.seed", "7", "--noreport", "--workdir", "x"])
    assert (request.experiment.seed, request.report, str(request.workdir)) == (7, False, "x")


def test_help_lists_every_field():
    with pytest.raises(HelpRequested) as caught:
        parse(["train", "--help"])
    text = str(caught.value)
    assert "--config.optimizer.momentum" in text
    told = "number >= 0 and <= 0.999999; default: 0.9; share of the last update kept [with name=sgd, rmsprop]"
    assert told in " ".join(text.split())
    with pytest.raises(HelpRequested, match="summary"):
        parse([])


def test_another_config_gets_another_folder(experiment_file):
    first = parse(["train", f"--config={experiment_file}"])
    second = parse(["train", f"--config={experiment_file}", "--config.seed=1"])
    folders = [request.workdir for request in (first, second)]
    assert folders[0] != folders[1]
    assert all(folder.name.startswith("small-") for folder in folders)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("caf\udce9", "caf\\xe9"), ("a\x1b[2J", "a\\x1b[2J"), ("x" * 250, "x" * 150), ("é" * 120, "é" * 75)],
)
def test_a_file_of_any_name_gets_a_folder(tmp_path, name, folder):
    path = tmp_path / f"{name}.py"
    path.write_text("def get_config():\n    return {}\ndef get_sweep():\n    return [{'seed': 0}]\n")
    request = parse(["train", f"--config={path}"])
    assert request.workdir.name.rpartition("-")[0] == folder
    swept = parse(["sweep", f"--config={path}"])
    assert swept.workdir.name.rpartition("-sweep-")[0] == folder


def test_a_failing_file_tells_where(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def get_config():\n    return {'epochs': 1 / 0}\n")
    with pytest.raises(ConfigError, match=r"ZeroDivisionError: division by zero \(broken.py:2\)"):
        parse(["train", f"--config={path}"])


def test_several_processes(experiment_file):
    words = ["train", f"--config={experiment_file}", "--distributed=explicit", "--coordinator=host:1234"]
    request = parse([*words, "--num_processes=2", "--process_id=1"])
    assert request.group == ProcessGroup("explicit", "host:1234", count=2, number=1, heartbeat_timeout=30)
    assert parse(["train", f"--config={experiment_file}", "--heartbeat_timeout=5"]).group.heartbeat_timeout == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_processes=2"], "--num_processes: is for --distributed=explicit"),
        (
            ["--distributed=explicit", "--process_id=0", "--num_processes=2"],
            "--coordinator: --distributed=explicit needs",
        ),
        (
            ["--distributed=explicit", "--process_id=2", "--num_processes=2", "--coordinator=a:1"],
            "--process_id: got 2, expected 0 to 1",
        ),
        (
            ["--distributed=explicit", "--process_id=0", "--num_processes=2", "--coordinator=a"],
            "--coordinator: got 'a', expected HOST:PORT",
        ),
        (["--distributed=sometimes"], "--distributed"),
        (["--workdir=gs://bucket/run"], "mount a bucket first"),
    ],
)
def test_processes_that_do_not_go_together_are_refused(experiment_file, words, message):
    with pytest.raises(ConfigError, match=message):
        parse(["train", f"--config={experiment_file}", *words])


def test_none_is_a_word_where_it_is_legal(experiment_file):
    words = ["--config.model.norm=none", "--config.model.pooling=(max,none,none)", "--config.model.pool_strides=none"]
    model = parse(["train", f"--config={experiment_file}", *words]).experiment.model
    assert (model.norm, model.pooling, model.pool_strides) == ("none", ("max", "none", "none"), None)
    with pytest.raises(ConfigError, match="got None"):
        parse(["train", f"--config={experiment_file}", "--config.model.padding=none"])


def test_the_config_of_a_run_is_a_config(experiment_file, tmp_path):
    first = parse(["train", f"--config={experiment_file}", "--config.seed=3"]).experiment
    path = tmp_path / "config.json"
    path.write_text(first.model_dump_json())
    assert parse(["train", f"--config={path}"]).experiment == first
    with pytest.raises(ConfigError, match=r"a sweep needs a Python file with get_sweep\(\)"):
        parse(["sweep", f"--config={path}"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("deep.json", '{"train":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("deep.json", '{"train":' * 500 + "1" + "}" * 500, "nested more than 16 deep"),
        ("itself.py", "def get_config():\n    d = {}\n    d['train'] = d\n    return d\n", "or it contains itself"),
        ("key.py", "def get_config():\n    return {1: 2}\n", "config: got the key 1 (int)"),
        ("key.py", "def get_config():\n    return {'train': {None: 2}}\n", "config.train: got the key None (NoneType)"),
        ("many.py", "def get_config():\n    return list(range(100_000))\n", "expected a dictionary or an Experiment"),
        ("nul.py", "def get_config():\n    return {'pretrained': {'weights': 'a\\0'}}\n", "without NUL characters"),
    ],
)
def test_configs_without_an_end_or_with_other_keys_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        parse(["summary", f"--config={path}"])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text", ["{{}}", "{{1}: 2}", "-" * 9999 + "1", "(" * 9999, "[" * 150 + "]" * 150, "9" * 9999, "1if", "\\d", "a\0b"]
)
def test_what_is_no_literal_is_text(text):
    parsed = parse_value(text)
    assert parsed == text or isinstance(parsed, list)


def test_a_port_beyond_all_ports_is_refused(experiment_file):
    words = ["--distributed=explicit", "--num_processes=2", "--process_id=0"]
    for port in ("0", "65536", "99999999999", "\u0663"):
        with pytest.raises(ConfigError, match="expected HOST:PORT"):
            parse(["train", f"--config={experiment_file}", *words, f"--coordinator=host:{port}"])


@pytest.mark.parametrize(
    "words", [["predict", "--workdir=x", "--images="], ["predict", "--workdir=x"], ["filter", "--image=x"], ["sweep"]]
)
def test_a_refusal_of_one_fault_is_one_line(words):
    with pytest.raises(ConfigError) as raised:
        parse(words)
    assert [fault for fault in raised.value.faults if "\n" in fault or "repeat this option" in fault] == []
