"""Weight files: what PyTorch wrote, what safetensors wrote, and what is no weights at all."""

import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

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
    """What a pickle can do: call anything when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_called(tmp_path):
    trap = tmp_path / "sprung"
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps(collections.OrderedDict(weight=Malicious(trap))))
    with zipfile.ZipFile(tmp_path / "new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Malicious(trap)}))
    for name in ("legacy.pth", "new.pth"):
        with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.mkdir"):
            read_state_dict(tmp_path / name)
    assert not trap.exists()
    pickle.loads((tmp_path / "legacy.pth").read_bytes())
    assert trap.exists(), "the trap works where a file is simply unpickled"


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


def test_a_tensor_beyond_its_storage_is_refused(tmp_path, golden):
    """The shape of a tensor is the file's word; the memory behind its storage is not given out."""
    with zipfile.ZipFile(golden / "tiny.pth") as whole, zipfile.ZipFile(tmp_path / "short.pth", "w") as short:
        for name in whole.namelist():
            content = whole.read(name)
            short.writestr(name, content[:8] if name.endswith("data/0") else content)
    with pytest.raises(WeightsError, match="beyond its storage"):
        read_state_dict(tmp_path / "short.pth")
