"""Pickles of NumPy arrays: read as NumPy reads them, and hostile ones refused with nothing run."""

import pickle
import struct

import numpy as np
import pytest

from cnn_jax.pretrained import WeightsError, numpy_pickle, read_numpy_pickle

RNG = np.random.default_rng(0)
TREE = {
    "conv1": [RNG.standard_normal((3, 3, 2, 4)).astype(np.float32), np.arange(4, dtype=np.float64)],
    "net": {"layer": {"kernel": np.asfortranarray(RNG.standard_normal((5, 3))), "bias": np.zeros(0, np.float32)}},
    "turned": (RNG.standard_normal((4, 6)).astype(np.float32).T,),
    "half": np.array([1.5, -2.0], np.float16),
    "big": np.array([1, -2, 300], ">i4"),
    "flags": np.array([[True], [False]]),
    "number": np.array(7, np.uint8),
}
NAMES = {
    "conv1/0": TREE["conv1"][0],
    "conv1/1": TREE["conv1"][1],
    "net/layer/kernel": TREE["net"]["layer"]["kernel"],
    "net/layer/bias": TREE["net"]["layer"]["bias"],
    "turned/0": TREE["turned"][0],
    "half": TREE["half"],
    "big": TREE["big"],
    "flags": TREE["flags"],
    "number": TREE["number"],
}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_those_that_were_written(tmp_path, protocol):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(TREE, protocol))
    arrays = read_numpy_pickle(path)
    assert list(arrays) == list(NAMES)
    for name, expected in NAMES.items():
        assert arrays[name].dtype == expected.dtype.newbyteorder("=")
        assert arrays[name].shape == expected.shape
        np.testing.assert_array_equal(arrays[name], expected)


def test_an_array_under_two_names_is_read_once():
    shared = np.arange(3.0)
    first, second = numpy_pickle.read(pickle.dumps({"a": shared, "b": shared})).values()
    assert first is second
    np.testing.assert_array_equal(first, shared)


def test_the_oldest_modules_are_known_by_their_new_and_old_names():
    for protocol in (2, 5):
        content = pickle.dumps({"a": np.arange(3.0)}, protocol)
        assert b"numpy._core." in content or b"numpy.core." in content
        new, old = (content.replace(b"numpy._core.", b"numpy.core."), content)
        if protocol == 2:  # texts of protocol 5 have their lengths before them
            np.testing.assert_array_equal(numpy_pickle.read(new)["a"], np.arange(3.0))
        np.testing.assert_array_equal(numpy_pickle.read(old)["a"], np.arange(3.0))


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touched(path):
    """Would show that a pickle ran something."""
    path.write_text("run")


HOSTILE = {
    "a call": (lambda path: Calls(touched, path), "it asks for (.*touched|pathlib)"),
    "a call beside arrays": (
        lambda path: {"a": np.zeros(2), "b": Calls(touched, path)},
        "it asks for (.*touched|pathlib)",
    ),
    "a call as a key": (lambda path: [np.zeros(2), [Calls(touched, path)]], "it asks for"),
    "eval": (lambda path: Calls(eval, f"open({str(path)!r}, 'w')"), r"it asks for (builtins|__builtin__)\.eval"),
    "a number of NumPy": (lambda path: {"a": np.float32(3)}, r"it asks for numpy\.\w+\.multiarray\.scalar"),
    "an array of objects": (lambda path: np.array([Calls(touched, path)], object), "asks for|only numbers are read"),
    "texts": (lambda path: np.array(["a"]), "an array of the type 'U1': only numbers"),
    "dates": (lambda path: np.zeros(2, "M8[s]"), "an array of the type 'M8': only numbers are read"),
    "fields": (lambda path: np.zeros(2, [("a", "f4")]), "an array of the type 'V4': only numbers are read"),
    "a subclass": (lambda path: np.ma.masked_array([1.0, 2.0]), r"it asks for numpy\.ma"),
    "a text": (lambda path: {"a": np.zeros(2), "note": "text"}, "note is a str, not a NumPy array"),
    "no arrays": (lambda path: {"a": {}}, "it holds no arrays"),
    "one name twice": (lambda path: {"a": {"b": np.zeros(1)}, "a/b": np.zeros(1)}, "two arrays have the name a/b"),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_is_no_array_is_refused_and_nothing_is_run(tmp_path, monkeypatch, what, protocol):
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("Python's reader was asked"))
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("Python's reader was asked"))
    make, message = HOSTILE[what]
    ran, path = tmp_path / "ran", tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(make(ran), protocol))
    with pytest.raises(WeightsError, match=rf"weights\.pkl: {message}"):
        read_numpy_pickle(path)
    assert not ran.exists()


def array_of(state: bytes) -> bytes:
    """A pickle of an array whose state these instructions make."""
    return b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state + b"b."


FLOAT = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNtb"
FULL = b"(I1\n(I1\nt" + FLOAT + b"I00\nU\4" + struct.pack("<f", 1.5) + b"t"
DAMAGED = {
    "no state": b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
    "a state of another kind": array_of(b"N"),
    "a negative size": array_of(b"(I1\n(I-1\nt" + FLOAT + b"I00\nC\0t"),
    "too few bytes": array_of(b"(I1\n(I2\nt" + FLOAT + b"I00\nC\4abcdt"),
    "sizes beyond all memory": array_of(b"(I1\n(L" + b"9" * 30 + b"L\nI0\nt" + FLOAT + b"I00\nC\0t"),
    "bytes made by a number": array_of(b"(I1\n(I4\nt" + FLOAT + b"I00\nc__builtin__\nbytes\n(I16\ntRt"),
    "bytes that are none": array_of(b"(I1\n(I1\nt" + FLOAT + b"I00\nI5\nt"),
    "a type that is none": array_of(b"(I1\n(I1\ntNI00\nC\4abcdt"),
    "an odd order of bytes": b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'?'\nNNNtb.",
    "a reference outside": b"Pstorage\n.",
    "lists within lists": b"(" * 100 + b"l" * 100 + b".",
    "itself": b"]q\0h\0a.",
    "itself many times": b"]q\0(" + b"h\0" * 1000 + b"e.",
    "more lists than there is time": b"".join(
        b"](" + (b"]" if not n else b"h" + bytes([n - 1])) * 9 + b"eq" + bytes([n]) for n in range(12)
    )
    + b".",
    "a text of many gigabytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"a.",
    "no end": b"\x80\x02]",
    "nothing": b"",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_files_end_in_one_error(tmp_path, what):
    path = tmp_path / "weights.pkl"
    path.write_bytes(DAMAGED[what])
    with pytest.raises(WeightsError, match=r"weights\.pkl: "):
        read_numpy_pickle(path)


def test_bytes_of_python_2():
    np.testing.assert_array_equal(numpy_pickle.read(array_of(FULL))[""], np.array([1.5], np.float32))


def test_files_that_are_missing(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pkl: there is no file"):
        read_numpy_pickle(tmp_path / "none.pkl")
    with pytest.raises(WeightsError, match="it is a folder"):
        read_numpy_pickle(tmp_path)
