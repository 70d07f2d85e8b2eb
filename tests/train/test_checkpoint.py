"""Checkpoints: what is kept, what is read back, and what is set aside."""

import errno
import json
import os
import shutil
import threading
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.checkpoints import TENSORSTORES_NOTE, kept, load_newest, saved, state

from cnn_jax import packed_arrays
from cnn_jax.run.errors import RunFailed, RunFolderError
from cnn_jax.run.records import RecordsDigest
from cnn_jax.train import checkpoint, run_group
from cnn_jax.train.checkpoint import Checkpoints, DamagedCheckpointError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_what_is_saved_is_read_back(folder):
    saved(folder, [7])
    checkpoints = Checkpoints(folder)
    restored = load_newest(checkpoints, state(0))
    checkpoints.close()
    assert int(restored["step"]) == 7
    assert np.array_equal(restored["kernel"], state(7)["kernel"])


def mixed():
    """Arrays of several types and shapes, large, small and empty."""
    draws = np.random.default_rng(0)
    return {
        "large": draws.normal(size=(300, 300)).astype(np.float32),
        "small": {"kernel": draws.normal(size=(3, 3, 1, 8)).astype(np.float32), "bias": np.zeros(8, np.float32)},
        "half": jnp.asarray(draws.normal(size=(5, 2)), jnp.bfloat16),
        "step": np.int32(3),
        "sums": (np.float32(0.5), np.int32(7)),
        "none": np.zeros((0, 4), np.float32),
    }


# What lies by itself: all but numbers and the empty one; the kernels and the bfloat16 array; the large one; none.
@pytest.mark.parametrize(("small", "saved"), [(2, 6), (10, 5), (2**16, 4), (2**30, 3)])
def test_small_arrays_of_a_type_lie_together(folder, monkeypatch, small, saved):
    monkeypatch.setattr(packed_arrays, "_SMALL", small)
    state = mixed()
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, state)
    checkpoints.close()
    tree = json.loads((folder / "1" / "state" / "_METADATA").read_text())["tree_metadata"]
    assert len(tree) == saved
    monkeypatch.undo()
    checkpoints = Checkpoints(folder)
    restored = checkpoints.load(1, state)
    checkpoints.close()
    for given, got in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert (got.dtype, got.shape) == (given.dtype, given.shape)
        assert np.array_equal(got, given)


def test_a_checkpoint_of_before_arrays_lay_together_is_read(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "packed", lambda arrays: (arrays, {}))
    saved(folder, [7])
    described = json.loads((folder / "7" / "_CHECKPOINT_METADATA").read_text())
    del described["custom_metadata"]["packed"]
    (folder / "7" / "_CHECKPOINT_METADATA").write_text(json.dumps(described))
    checkpoints = Checkpoints(folder)
    assert np.array_equal(checkpoints.load(7, state(0))["kernel"], state(7)["kernel"])
    checkpoints.close()


def test_an_empty_folder_has_none(folder):
    checkpoints = Checkpoints(folder)
    assert load_newest(checkpoints, state(0)) is None
    checkpoints.close()


def test_the_newest_are_kept(folder):
    saved(folder, [1, 2, 3, 4], keep_last=2)
    assert kept(folder) == [3, 4]


def test_the_best_is_kept_and_of_equals_the_first(folder):
    checkpoints = Checkpoints(folder, keep_last=1)
    for step, accuracy in ((1, 0.5), (2, 0.9), (3, 0.9), (4, 0.7), (5, 0.6)):
        checkpoints.save(step, state(step), {"accuracy": accuracy, "epoch": float(step)})
    checkpoints.save(6, state(6))
    checkpoints.close()
    assert kept(folder) == [2, 6]


def test_a_saved_state_does_not_follow_its_buffers(folder):
    checkpoints = Checkpoints(folder)
    array = np.zeros(1_000_000, np.float32)
    checkpoints.save(1, {"a": array})
    array += 1
    checkpoints.close()
    checkpoints = Checkpoints(folder)
    assert checkpoints.load(1, {"a": array})["a"].max() == 0
    checkpoints.close()


def test_the_loop_goes_on_while_a_state_is_written(folder, monkeypatch):
    checkpoints = Checkpoints(folder)
    goes_on, write = threading.Event(), checkpoints._write

    def write_later(*arguments):
        assert goes_on.wait(60)
        write(*arguments)

    monkeypatch.setattr(checkpoints, "_write", write_later)
    array = np.zeros(1_000_000, np.float32)
    checkpoints.prepare({"a": array})
    checkpoints.save(1, {"a": array})
    array += 1
    assert kept(folder) == []
    goes_on.set()
    checkpoints.save(2, {"a": array})
    checkpoints.close()
    checkpoints = Checkpoints(folder)
    assert [checkpoints.load(step, {"a": array})["a"].max() for step in kept(folder)] == [1]
    checkpoints.close()


def largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_bit(step):
    path = largest(step)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(step):
    path = largest(step)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_metadata(step):
    (step / "_CHECKPOINT_METADATA").unlink()


def garble_metadata(step):
    (step / "_CHECKPOINT_METADATA").write_text("{")


def lose_everything(step):
    shutil.rmtree(step)
    step.mkdir()


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, lose_metadata, garble_metadata, lose_everything])
def test_a_damaged_newest_is_set_aside(folder, damage, caplog):
    saved(folder, [1, 2])
    damage(folder / "2")
    checkpoints = Checkpoints(folder, keep_last=2)
    restored = load_newest(checkpoints, state(0))
    assert int(restored["step"]) == 1
    assert "checkpoint 2" in caplog.text
    assert "set aside" in caplog.text
    assert (folder.parent / "damaged_checkpoints" / "2-0").is_dir()
    checkpoints.save(2, state(2))  # the number is free again
    checkpoints.close()
    assert kept(folder) == [1, 2]


def test_another_network_is_told(folder):
    saved(folder, [1])
    checkpoints = Checkpoints(folder)
    with pytest.raises(
        RunFolderError, match=r"(?s)another network.*'kernel'.*float32\[40, 100\], expected float32\[3\]"
    ):
        checkpoints.load(1, {"kernel": jnp.zeros(3)})
    with pytest.raises(DamagedCheckpointError, match="checkpoint 9 cannot be read"):
        checkpoints.load(9, state(0))
    checkpoints.close()


def change_metadata(folder, step, change):
    path = folder / str(step) / "_CHECKPOINT_METADATA"
    described = json.loads(path.read_text())
    change(described["custom_metadata"])
    path.write_text(json.dumps(described))


def test_a_part_is_read_without_the_rest(folder):
    big = {"kernel": np.arange(90_000.0, dtype=np.float32), "moment": np.ones(90_000, np.float32), "bias": np.ones(3)}
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, big)
    checkpoints.close()
    change_metadata(folder, 1, lambda custom: custom["digests"].update({"['moment']": "00000000"}))
    checkpoints = Checkpoints(folder)
    part = checkpoints.load(1, {"kernel": big["kernel"], "bias": big["bias"]}, partial=True)
    assert {name: array.tolist() for name, array in part.items()} == {
        name: big[name].tolist() for name in ("kernel", "bias")
    }
    with pytest.raises(DamagedCheckpointError, match="digest differs"):
        checkpoints.load(1, big)
    with pytest.raises(RunFolderError, match="another network"):
        checkpoints.load(1, {"kernel": big["kernel"][:5]}, partial=True)
    checkpoints.close()


def test_a_checkpoint_with_one_digest_for_all_is_read(folder):
    saved(folder, [7])
    whole = {"['bias']": state(7)["bias"], "['kernel']": state(7)["kernel"], "['step']": state(7)["step"]}
    crc = 0
    for name, leaf in whole.items():  # as versions before digests by array computed it, in the order of the names
        array = np.atleast_1d(np.asarray(leaf))
        crc = zlib.crc32(array.tobytes(), zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc))

    def to_old(custom):
        del custom["digests"]
        custom["digest"] = f"{crc:08x}"

    change_metadata(folder, 7, to_old)
    checkpoints = Checkpoints(folder)
    assert np.array_equal(checkpoints.load(7, state(0))["kernel"], state(7)["kernel"])
    part = checkpoints.load(7, {"kernel": state(0)["kernel"]}, partial=True)
    assert np.array_equal(part["kernel"], state(7)["kernel"])
    checkpoints.close()
    change_metadata(folder, 7, lambda custom: custom.update(digest="00000000"))
    checkpoints = Checkpoints(folder)
    with pytest.raises(DamagedCheckpointError, match="digest differs"):
        checkpoints.load(7, state(0))
    checkpoints.close()


def test_saves_leave_no_files_open(folder):
    checkpoints, open_files = Checkpoints(folder), []
    for step in range(1, 9):
        checkpoints.save(step, state(step))
        checkpoints.wait()
        open_files.append(len(os.listdir("/dev/fd")))
    assert open_files[1:] == open_files[1:2] * 7  # the first starts Orbax's threads
    checkpoints.close()


def test_runs_resume_at_the_newest_step_that_all_have(folder, tmp_path):
    others = tmp_path / "others"
    saved(folder, [1, 2, 3], keep_last=3)
    saved(others, [1, 2], keep_last=3)
    group = [Checkpoints(folder), Checkpoints(others)]
    step, found = run_group.load_newest_common(group, state(0))
    assert [step, *(int(each["step"]) for each in found)] == [2, 2, 2]
    flip_a_bit(others / "2")
    step, found = run_group.load_newest_common(group, state(0))
    assert [step, *(int(each["step"]) for each in found)] == [1, 1, 1]
    for each in group:
        each.close()
    assert (tmp_path / "damaged_checkpoints" / "2-0").is_dir()


def test_the_first_of_a_run_is_read_back(folder, monkeypatch):
    reads = []
    checkpoints = Checkpoints(folder, keep_last=2)
    read = checkpoints._read
    monkeypatch.setattr(checkpoints, "_read", lambda step, wanted: reads.append(step) or read(step, wanted))
    for step in (1, 2, 3):
        checkpoints.save(step, state(step))
    checkpoints.close()
    assert reads == [1]
    checkpoints = Checkpoints(folder, keep_last=2)  # as a resumed run, which reads the newest anyway
    monkeypatch.setattr(checkpoints, "_read", lambda step, wanted: reads.append(step))
    checkpoints.save(4, state(4))
    checkpoints.close()
    assert reads == [1]


def test_a_first_one_that_cannot_be_read_back_ends_the_run(folder, monkeypatch):
    checkpoints = Checkpoints(folder)
    read = checkpoints._read

    def read_damaged(step, wanted):
        flip_a_bit(folder / "1")
        return read(step, wanted)

    monkeypatch.setattr(checkpoints, "_read", read_damaged)
    checkpoints.save(1, state(1))
    with pytest.raises(RunFailed, match=r"(?s)checkpoint 1 was saved .* cannot be read back: .*name another --workdir"):
        checkpoints.save(2, state(2))
    checkpoints.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_what_cannot_be_saved_is_told_with_the_folder(folder, monkeypatch, number):
    saved(folder, [1])
    checkpoints = Checkpoints(folder)
    text = f'UNKNOWN: Error writing local file "x": {os.strerror(number)}{TENSORSTORES_NOTE}'

    def fail(*arguments, **more):
        raise ValueError(text)

    monkeypatch.setattr(checkpoints._checkpointer, "save_async", fail)
    checkpoints.save(2, state(2))
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        checkpoints.wait()
    assert (raised.value.errno, raised.value.filename) == (number, str(folder))
    checkpoints.close()
    assert kept(folder) == [1]


def test_the_records_seen_come_with_the_state(folder):
    old, new = RecordsDigest(count=3, sha256="ab"), RecordsDigest(count=3, sha256="cd")
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, state(1))
    checkpoints.save(2, state(2), records=old)
    checkpoints.close()
    checkpoints = Checkpoints(folder, keep_last=2)
    load_newest(checkpoints, state(0))
    assert checkpoints.records_seen(2) == old
    # A run that starts again from an earlier step measures other times, and comes to the same step with other records.
    checkpoints.save(2, state(2), records=new)
    checkpoints.save(2, state(2), records=new)  # nothing is saved twice
    checkpoints.close()
    checkpoints = Checkpoints(folder, keep_last=2)
    load_newest(checkpoints, state(0))
    assert checkpoints.records_seen(2) == new
    checkpoints.close()
