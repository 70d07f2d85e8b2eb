"""Links to the trials' TensorBoard events: one for each, and to these trials."""

import os

from cnn_jax.config.parsing import parse
from cnn_jax.sweep.event_links import link_names
from cnn_jax.sweep.feasibility import Examined
from cnn_jax.sweep.folder import Entry, SweepFolder
from cnn_jax.sweep.trial import Trial


def entry(name, **point):
    return Entry(name, Trial(1, point, point, parse({})), Examined("abc"))


def targets(folder):
    return {link.name: os.readlink(link) for link in (folder / "tensorboard").iterdir()}


def test_long_names_stay_different_and_short_enough():
    alike = "x=" + "a" * 400
    texts = {"id1": alike + "1", "id2": alike + "2", "id3": "x=" + "ü" * 300, "id4": "seed=1", "id5": "SEED=1"}
    names = link_names(texts.items())
    assert len({name.casefold() for name in names.values()}) == 5
    assert max(len(name.encode()) for name in names.values()) <= 200
    assert names["id1"].endswith("~id1")
    assert names["id3"].startswith("x=üü")
    assert {names["id4"], names["id5"]} == {"seed=1~id4", "SEED=1~id5"}  # one file where case does not count


def test_names_are_legal_whatever_the_values_are():
    names = link_names([("a", "x=a/b\x00\n\x1b[31m"), ("b", "x=\udcff"), ("c", "x=a_b")])
    assert names["a"] == "x=a_b___[31m"
    assert names["b"] == r"x=\xff"
    assert names["c"] == "x=a_b"
    assert link_names([("a", "x=a/b"), ("b", "x=a_b")]) == {"a": "x=a_b~a", "b": "x=a_b~b"}


def test_every_trial_has_a_link_and_other_data_move_it(tmp_path):
    folder = SweepFolder(tmp_path)
    assert folder.link_events([entry("1" * 16, x=1), entry("2" * 16, x=2)]) is None
    assert targets(tmp_path) == {"x=1": f"../trials/{'1' * 16}/tensorboard", "x=2": f"../trials/{'2' * 16}/tensorboard"}
    (tmp_path / "tensorboard" / "mine.txt").touch()
    (tmp_path / "tensorboard" / ".new").symlink_to("left by a kill")
    # The data have changed, and with them the ids; x=2 is no trial of the sweep any more.
    assert folder.link_events([entry("3" * 16, x=1), entry("4" * 16, x=4)]) is None
    (tmp_path / "tensorboard" / "mine.txt").unlink()  # a file of the user's stays
    assert targets(tmp_path) == {"x=1": f"../trials/{'3' * 16}/tensorboard", "x=4": f"../trials/{'4' * 16}/tensorboard"}


def test_names_of_more_than_255_bytes(tmp_path):
    long = [{"a.b": "é" * 200 + str(number)} for number in range(3)]
    entries = [entry(f"{number:016x}", **point) for number, point in enumerate(long)]
    assert SweepFolder(tmp_path).link_events(entries) is None
    assert len(targets(tmp_path)) == 3


def test_where_no_link_can_be_made_a_warning_says_so(tmp_path):
    (tmp_path / "tensorboard").write_text("a file")
    assert "tensorboard does not list the trials' events" in SweepFolder(tmp_path).link_events([entry("1" * 16, x=1)])
