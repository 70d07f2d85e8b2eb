"""Pickles read as data: the same values as Python's own reader gives, and pickles that would exhaust it."""

import io
import pickle
import struct
import zipfile

import pytest

from cnn_jax.pretrained import WeightsError, pickled, read_state_dict
from cnn_jax.pretrained.tensors import Unread


def load(content: bytes):
    return pickled.load(io.BytesIO(content), lambda pid: pid)


SHARED = ["shared"]
VALUES = [
    None,
    True,
    [False, 0, 1, 255, 256, -1, 65536, 2**31, -(2**40), 2**100],
    [0.0, -1.5, 1e300, float("inf")],
    ["", "text", "\u4e2d\u6587", "a" * 300, b"", b"bytes", b"b" * 300],
    [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    {"a": {"b": [{"c": ()}]}, "d": [[], {}]},
    [SHARED, SHARED, {"again": SHARED}],
    list(range(2000)),
    {str(number): number for number in range(2000)},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_are_those_of_pythons_reader(value, protocol):
    if protocol == 2:
        value = [each for each in value if not isinstance(each, bytes)] if type(value) is list else value
    content = pickle.dumps(value, protocol)
    assert pickle.loads(content) == value
    assert load(content) == value


def test_keys_that_are_no_texts_are_left_out():
    # numbers and nested tuples can be made to collide, or to take for ever to hash
    nested = ()
    for _ in range(60):
        nested = (nested, nested)
    content = b"\x80\x02}(" + b"K\x01K\x02" + b")" + b"2\x86" * 60 + b"N" + b"X\x01\0\0\0aK\x03" + b"u."
    assert load(content) == {"a": 3}


def test_the_next_pickle_begins_behind_the_last():
    file = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("two", 2) + b"rest")
    assert [pickled.load(file, lambda pid: pid) for _ in range(2)] == [[1], "two"]
    assert file.read() == b"rest"


def test_objects_are_not_made():
    assert load(pickle.dumps(ValueError("x"), 2)) == Unread("an object of exceptions.ValueError")
    assert load(pickle.dumps({1, 2}, 4)) == Unread("a set")
    assert load(b"cos\nsystem\n(S'true'\ntR.") == Unread("an object of os.system")
    assert load(b"(S'true'\nios\nsystem\n.") == Unread("an object of os.system")
    assert load(b"(cos\nsystem\nS'true'\no.") == Unread("an object of os.system")
    assert load(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85\x81.") == Unread("an object of os.system")
    assert load(b"\x80\x02\x82\x01.") == Unread("an object of the extension registry")
    # a class whose state would be set, items be added to and a global be called that is no function
    assert load(b"cmine\nThing\n)R}X\x01\0\0\0aK\x01sb.") == Unread("an object of mine.Thing")
    assert load(b"cmine\nThing\n)RX\x01\0\0\0aK\x01s.") == Unread("an object of mine.Thing")
    assert load(b"K\x01)R.") == Unread("an object of int")


HOSTILE = {
    "a text of many gigabytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"a.",
    "bytes of many gigabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "an array of many gigabytes": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.",
    "a negative length": b"T" + struct.pack("<i", -5) + b"abc.",
    "a frame of many gigabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"",
    "nothing on the stack": b"\x80\x02R.",
    "no mark": b"\x80\x02t.",
    "a place that was not put": b"\x80\x02h\x05.",
    "a place far away": b"Np99999999999999999999\n.",
    "no end": b"\x80\x02]",
    "nothing": b"",
    "an unknown instruction": b"\xff.",
    "an odd number of items": b"\x80\x02}(X\x01\0\0\0au.",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a subclass of a subclass": b"ctorch._tensor\n_rebuild_from_type_v2\nq\0"
    + b"h\0N" * 5000
    + b")"
    + b"\x87" * 5000
    + b"R.",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pickles_end_in_one_error(tmp_path, what):
    with pytest.raises((ValueError, IndexError, KeyError, TypeError, RecursionError)):
        load(HOSTILE[what])
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", HOSTILE[what])
    with pytest.raises(WeightsError, match=r"a\.pth: cannot be read as weights, it is damaged"):
        read_state_dict(path)


def test_nesting_and_far_places_cost_nothing():
    assert load(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".")
    assert load(b"\x80\x02Nr\xff\xff\xff\xff.") is None  # Python's own reader makes a table of that size


def test_the_number_of_operations_has_a_bound(monkeypatch):
    monkeypatch.setattr(pickled, "MOST_OPERATIONS", 50)
    assert load(b"\x80\x02" + b"N0" * 10 + b"N.") is None
    with pytest.raises(WeightsError, match="more than 50 values"):
        load(b"\x80\x02" + b"N0" * 30 + b"N.")
