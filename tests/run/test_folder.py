"""A run's folder belongs to one config and one process."""

import errno
import os
from pathlib import Path

import pytest

from cnn_jax.config import Experiment, Train
from cnn_jax.run.folder import RunFolder, RunFolderError

OLD = Path(__file__).parent / "old_run"  # written at commit 1f4e1e7


def test_it_is_claimed_and_claimed_again(tmp_path):
    for _ in range(2):
        folder = RunFolder(tmp_path / "run")
        folder.claim(Experiment())
        folder.begin(Experiment())
        assert folder.experiment() == Experiment()
        folder.release()


def test_another_config_is_refused_with_what_changed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.claim(Experiment())
    folder.begin(Experiment())
    folder.release()
    with pytest.raises(RunFolderError, match=r"(?s)another config.*config.train.epochs: 5 -> 6"):
        RunFolder(tmp_path).claim(Experiment(train=Train(epochs=6)))


def test_a_claim_without_a_run_binds_to_nothing(tmp_path):
    folder = RunFolder(tmp_path)
    folder.claim(Experiment())
    folder.release()
    RunFolder(tmp_path).claim(Experiment(train=Train(epochs=6)))


def test_a_second_process_is_refused(tmp_path):
    first = RunFolder(tmp_path)
    first.claim(Experiment())
    with pytest.raises(RunFolderError, match="another process"):
        RunFolder(tmp_path).claim(Experiment())
    first.release()


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunFolderError, match=r"not a run's folder; it holds thesis.tex"):
        RunFolder(tmp_path).claim(Experiment())


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        RunFolder(tmp_path / "run").claim(Experiment())


@pytest.mark.parametrize("content", ["{", "[]", '{"train": {"epoch": 3}}', "[" * 100_000])
def test_a_spoilt_config(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"config.json"):
        RunFolder(tmp_path).experiment()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunFolderError, match="is no folder"):
        RunFolder(tmp_path / "none").read("result.json")
    with pytest.raises(RunFolderError, match="no finished run"):
        RunFolder(tmp_path).read("result.json")


def test_records_are_written_and_read_again(tmp_path):
    old, folder = RunFolder(OLD), RunFolder(tmp_path)
    assert folder.result() is None
    assert folder.metric_records() == []
    folder.write_dataset_info(old.dataset_info())
    folder.write_provenance(old.provenance())
    folder.write_result(old.result())
    assert folder.dataset_info() == old.dataset_info()
    assert folder.provenance() == old.provenance()
    assert folder.result() == old.result()
    quiet = RunFolder(tmp_path / "second", writes=False)
    quiet.write_result(old.result())
    assert not quiet.path.exists()


def test_a_damaged_file_is_named_with_its_field(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunFolderError, match=r"has no dataset.json: no finished run"):
        folder.dataset_info()
    folder.write("dataset.json", {"name": "lines"})
    with pytest.raises(RunFolderError, match=r"dataset.json is damaged: checksum: Field required"):
        folder.dataset_info()
    (tmp_path / "provenance.json").write_bytes(b"\xff\x00")
    with pytest.raises(RunFolderError, match=r"provenance.json is damaged: the content: Invalid JSON"):
        folder.provenance()
    folder.write("result.json", RunFolder(OLD).result().to_json() | {"step": "ten"})
    message = r'result.json is damaged: step: got "ten", expected a valid integer; move the file aside'
    with pytest.raises(RunFolderError, match=message):
        folder.result()


def test_nothing_is_advised_for_a_file_that_cannot_be_read_now(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_result(RunFolder(OLD).result())

    def refuse(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        with pytest.raises(RunFolderError, match=r"result.json cannot be read: Input/output error") as raised:
            folder.result()
    assert "aside" not in str(raised.value)
    assert "delete" not in str(raised.value)
    assert folder.result() == RunFolder(OLD).result()


def test_a_folder_in_the_place_of_a_file_cannot_be_read(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(RunFolderError, match=r"metrics.jsonl cannot be read"):
        folder.metric_records()
