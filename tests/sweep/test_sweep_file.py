"""sweep.json: what is read of it, and what is not."""

import json

import pytest

from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.run.errors import RunFolderError
from cnn_jax.sweep import sweep_file
from cnn_jax.sweep.sweep_file import DamagedError, SweepFile, TrialEntry
from sweep.written_sweep import trial_of, write_sweep

SWEEP = SweepFile(
    experiment="rates",
    base="0123abcd",
    fields=("optimizer.learning_rate",),
    trials=(TrialEntry(id="0" * 16, point={"optimizer.learning_rate": 0.01}, seed=3),),
)


def test_what_is_written_is_read(tmp_path):
    assert sweep_file.read(tmp_path) is None
    sweep_file.write(tmp_path, SWEEP)
    found = sweep_file.read(tmp_path)
    assert found.model_copy(update={"checksum": None}) == SWEEP
    assert len(found.checksum) == 64


@pytest.mark.parametrize(("was", "now"), [("0.01", "0.03"), ('"seed": 3', '"seed": 4'), ("rates", "ratez")])
def test_a_change_is_not_silent(tmp_path, was, now):
    sweep_file.write(tmp_path, SWEEP)
    path = tmp_path / "sweep.json"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, now, 1))
    with pytest.raises(DamagedError, match="changed after it had been written"):
        sweep_file.read(tmp_path)


def test_the_layout_may_change(tmp_path):
    sweep_file.write(tmp_path, SWEEP)
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert sweep_file.read(tmp_path).trials == SWEEP.trials


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"3", b"{", b"\xff", b'{"experiment": 3}', b"[" * 100_000, b'{"a":' * 5000, b"1e999"],
)
def test_what_is_no_sweep_is_damaged(tmp_path, content):
    (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"sweep\.json is damaged: "):
        sweep_file.read(tmp_path)


def test_what_cannot_be_read_is_not_damaged(tmp_path):
    (tmp_path / "sweep.json").mkdir()
    with pytest.raises(RunFolderError, match=r"sweep\.json is a folder, expected a file") as caught:
        sweep_file.read(tmp_path)
    assert not isinstance(caught.value, DamagedError)


NO_NAMES = ["../../x", "/etc/x", "a/b", "..", ".", "", "a\x00b", "a\nb", "\x1b[31mred", "a\\b"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_are_no_paths(tmp_path, name):
    write_sweep(tmp_path / "id", ["a.b"], [trial_of(0, {"a.b": 1}, 0, id=name)])
    write_sweep(tmp_path / "experiment", ["a.b"], [trial_of(0, {"a.b": 1}, 0)], experiment=name)
    write_sweep(tmp_path / "field", [name], [trial_of(0, {name: 1}, 0)])
    for folder in ("id", "experiment", "field"):
        with pytest.raises(RunFolderError, match=r"sweep\.json is damaged"):
            write_sweep_report(tmp_path / folder)
    assert {path.name for path in tmp_path.iterdir()} == {"id", "experiment", "field"}
