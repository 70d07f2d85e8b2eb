"""Weight files: what PyTorch wrote, what safetensors wrote, and what is no weights at all."""

import gzip
import json
import os
import pickle
import re
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_save
from safetensors.numpy import save_file
from torch_save import Call, Global, Raw, view

from cnn_jax.pretrained import WeightsError, read_state_dict


@pytest.mark.parametrize("name", ["tiny.pth", "tiny_legacy.pth"])
def test_files_of_torch_save(golden, name):
    arrays = read_state_dict(golden / name)
    assert list(arrays) == [
        "conv.weight",
        "conv.half",
        "conv.brain",
        "fc.weight",
        "fc.shared",
        "bn.num_batches_tracked",
        "fc.bias",
    ]
    np.testing.assert_array_equal(arrays["conv.weight"], np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2))
    np.testing.assert_array_equal(arrays["conv.half"], np.float16([1.5, -2]))
    np.testing.assert_array_equal(arrays["conv.brain"].astype(np.float32), [0.5, 3])
    np.testing.assert_array_equal(arrays["fc.weight"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(arrays["fc.shared"], [3, 4, 5, 6])
    assert arrays["bn.num_batches_tracked"] == 7
    np.testing.assert_array_equal(arrays["fc.bias"], [1, 2, 3])


def test_safetensors(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.int64([4])}
    save_file(arrays, tmp_path / "weights.safetensors")
    read = read_state_dict(tmp_path / "weights.safetensors")
    assert set(read) == {"a", "b"}
    np.testing.assert_array_equal(read["a"], arrays["a"])


class Malicious:
    """Calls a function when the pickle is read, as any pickle may."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_file_is_called(tmp_path, protocol):
    """Beside weights it is left out, in their place it is refused; it is called in no case."""
    trap = tmp_path / "sprung"
    call = pickle.dumps(Malicious(trap), protocol)
    inner = Raw(call[2:-1] if protocol > 1 else call[:-1])
    if protocol > 3:
        inner = Raw(call[11:-1])  # behind the protocol and the frame's size
    weight = view(np.float32([1, 2]))
    for number, write in enumerate((torch_save.zipped, torch_save.legacy)):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(write({"epoch": inner, "state_dict": {"a": weight, "b": inner}}))
        assert {name: array.tolist() for name, array in read_state_dict(path).items()} == {"a": [1, 2]}
        path.write_bytes(write({"state_dict": inner}))
        with pytest.raises(WeightsError, match=r"'state_dict': an object of (posix|nt)\.mkdir"):
            read_state_dict(path)
    (tmp_path / "plain.pth").write_bytes(call)
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "plain.pth")
    assert not trap.exists()
    pickle.loads(call)
    assert trap.exists(), "the trap works where a file is simply unpickled"


PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net."),
    *("module._orig_mod.", "_orig_mod.module.", "model.module.", "module.model.net.", "_orig_mod.model._orig_mod."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_parts_of_names_that_wrappers_add(tmp_path, prefix):
    arrays = {"conv1.weight": np.float32([1]), "layer1.0.bn1.bias": np.float32([2]), "fc.bias": np.float32([3])}
    wrapped = {prefix + name: array for name, array in arrays.items()}
    save_file(wrapped, tmp_path / "a.safetensors")
    (tmp_path / "a.pth").write_bytes(torch_save.zipped({name: view(array) for name, array in wrapped.items()}))
    for name in ("a.safetensors", "a.pth"):
        assert read_state_dict(tmp_path / name) == arrays


def test_wrappers_within_names_and_names_that_only_look_like_them(tmp_path):
    names = {
        "features.module.0.weight": "features.0.weight",  # PyTorch's ImageNet example wraps AlexNet's features alone
        "layer1._orig_mod.0.bias": "layer1.0.bias",
        "_fsdp_wrapped_module.layer2._checkpoint_wrapped_module.bias": "layer2.bias",
        "model": "model",
        "modules.net.bias": "modules.net.bias",
        "networks.bias": "networks.bias",
    }
    save_file({name: np.float32([place]) for place, name in enumerate(names)}, tmp_path / "a.safetensors")
    read = read_state_dict(tmp_path / "a.safetensors")
    assert read == {name: place for place, name in enumerate(names.values())}


def test_two_networks_in_one_file_are_refused(tmp_path):
    both = {"model.fc.bias": np.float32([1]), "net.fc.bias": np.float32([2])}
    save_file(both, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"model\.fc\.bias and net\.fc\.bias are both fc\.bias"):
        read_state_dict(tmp_path / "a.safetensors")


def test_damaged_and_foreign_files(tmp_path, golden):
    whole = (golden / "tiny.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "legacy_cut.pth").write_bytes((golden / "tiny_legacy.pth").read_bytes()[:-60])
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "list.pth").write_bytes(pickle.dumps([1, 2]))
    for name in ("cut.pth", "legacy_cut.pth", "text.safetensors", "list.pth"):
        with pytest.raises(WeightsError, match=name):
            read_state_dict(tmp_path / name)
    with pytest.raises(WeightsError, match="there is no file"):
        read_state_dict(tmp_path / "none.pth")


FOREIGN = {
    "empty": (b"", "it is empty"),
    "page": (b"<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "gzip": (gzip.compress(b"weights"), "packed by gzip"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "text": (b"conv1.weight 1 2 3", "neither a file of torch.save nor of safetensors"),
    "list": (torch_save.zipped([1, 2]), "no dictionary of names to tensors but a list"),
    "number": (torch_save.legacy(5), "no dictionary of names to tensors but a int"),
    "nothing": (torch_save.zipped({}), "no dictionary of names to tensors, but {}"),
    "no weights": (torch_save.zipped({"encoder": {"a": 1}, "epoch": 3}), "'encoder': dictionary; 'epoch': int"),
    "network": (
        torch_save.zipped(Call(Global("mine", "Net"), (), {})),
        "it holds an object of mine.Net; save the network's",
    ),
    "network in a checkpoint": (
        torch_save.zipped({"model": Call(Global("mine", "Net"), ())}),
        "'model': an object of mine.Net",
    ),
    "pickle": (pickle.dumps({"a": [1.0]}), "a pickle, but not of torch.save"),
    "header too long": (b"\xff" * 7 + b"\x7f{}" + bytes(50), "cannot be read as weights"),
    "header cut off": (struct.pack("<Q", 100) + b'{"a":', "cannot be read as weights"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_weights_says_what_it_is(tmp_path, what):
    content, expected = FOREIGN[what]
    for name in ("a.pth", "a.safetensors"):  # the content counts, not the name
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=re.escape(expected)) as caught:
            read_state_dict(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(WeightsError, match="it is a folder"):
        read_state_dict(tmp_path)


def test_what_a_file_says_cannot_steer_a_terminal(tmp_path):
    escape = "\x1b]0;owned\x07\x1b[2J\r\u202e"
    path = tmp_path / "a.pth"
    path.write_bytes(torch_save.zipped({escape: 1, "model": Call(Global("mine", "Ow\x1b[31mned"), ())}))
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(escape, b"")
    with pytest.raises(WeightsError) as other:
        read_state_dict(path)
    for text in (str(caught.value), str(other.value)):
        assert "owned" in text
        assert text.isprintable()


def safetensors(**entries):
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


def entry(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


SAFETENSORS = {
    "reaches beyond the file": safetensors(a=entry(shape=(8,), offsets=(0, 32))),
    "shape larger than its bytes": safetensors(a=entry(shape=(2**40,))),
    "shape that overflows": safetensors(a=entry(shape=(2**33, 2**33))),
    "negative size": safetensors(a=entry(shape=(-2, -2))),
    "negative offset": safetensors(a=entry(offsets=(-16, 0))),
    "end before begin": safetensors(a=entry(offsets=(16, 0))),
    "overlapping": safetensors(a=entry(), b=entry()),
    "a gap": safetensors(a=entry(shape=(2,), offsets=(8, 16))),
    "unknown type": safetensors(a=entry(dtype="F7")),
    "no type": safetensors(a={"shape": [4], "data_offsets": [0, 16]}),
    "no dictionary": safetensors(a=[1, 2]),
}


@pytest.mark.parametrize("what", SAFETENSORS)
def test_damaged_headers_of_safetensors(tmp_path, what):
    (tmp_path / "good.safetensors").write_bytes(safetensors(a=entry()))
    assert read_state_dict(tmp_path / "good.safetensors")["a"].tolist() == [0, 0, 0, 0]
    (tmp_path / "a.safetensors").write_bytes(SAFETENSORS[what])
    with pytest.raises(WeightsError, match=r"a\.safetensors: cannot be read as weights"):
        read_state_dict(tmp_path / "a.safetensors")


def test_safetensors_of_sixteen_bits(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(
        safetensors(a=entry("BF16", (4,), (0, 8)), b=entry("F16", (4,), (8, 16)))[:-16]
        + ml_dtypes.bfloat16(1.5).tobytes() * 4
        + np.float16(-2).tobytes() * 4
    )
    arrays = read_state_dict(tmp_path / "a.safetensors")
    assert arrays["a"].astype(np.float32).tolist() == [1.5] * 4
    assert arrays["b"].tolist() == [-2] * 4


def test_a_tensor_beyond_its_storage_is_refused(tmp_path, golden):
    """The shape of a tensor is the file's word; the memory behind its storage is not given out."""
    with zipfile.ZipFile(golden / "tiny.pth") as whole, zipfile.ZipFile(tmp_path / "short.pth", "w") as short:
        for name in whole.namelist():
            content = whole.read(name)
            short.writestr(name, content[:8] if name.endswith("data/0") else content)
    with pytest.raises(WeightsError, match="beyond its storage"):
        read_state_dict(tmp_path / "short.pth")
