"""The three layouts of `torch.save`: what checkpoints hold, and views that reach out of their storages."""

import zipfile

import numpy as np
import pytest
import torch_save
from torch_save import Call, Global, Persistent, Raw, View, view

from cnn_jax.pretrained import WeightsError, read_state_dict
from cnn_jax.pretrained.files import CONTAINERS, read_entries
from cnn_jax.pretrained.tensors import FREE_BYTES, MOST_EXPANSION, Unread

NUMBERS = np.arange(24, dtype=np.float32)
WEIGHTS = {
    "conv1.weight": NUMBERS.reshape(2, 3, 2, 2),
    "fc.weight": NUMBERS[:6].reshape(3, 2).T,
    "fc.bias": np.float64([0.5, -1]),
    "bn1.num_batches_tracked": np.int64(7),
}
TENSORS = {
    "conv1.weight": view(WEIGHTS["conv1.weight"]),
    "fc.weight": View(NUMBERS[:6], 0, (2, 3), (1, 2)),
    "fc.bias": View(np.float64([9, 0.5, -1, 9]), 1, (2,), (1,)),
    "bn1.num_batches_tracked": view(WEIGHTS["bn1.num_batches_tracked"]),
}
LAYOUTS = {"zip": torch_save.zipped, "legacy": torch_save.legacy, "tar": torch_save.tarred}


def read(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return read_state_dict(path)


def assert_weights(arrays, names=WEIGHTS):
    assert list(arrays) == list(names)
    for name, array in arrays.items():
        assert array.dtype == WEIGHTS[name].dtype
        np.testing.assert_array_equal(array, WEIGHTS[name], err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout):
    assert_weights(read(tmp_path, LAYOUTS[layout](TENSORS)))


NAMESPACE = Call(Global("argparse", "Namespace"), (), {"lr": 0.1, "nested": {"layers": [1, 2]}})
SCALAR = Call(
    Global("numpy.core.multiarray", "scalar"),
    (Call(Global("numpy", "dtype"), ("f8", False, True), (3, "<", None, None, None, -1, -1, 0)), b"\0" * 8),
)
OPTIMIZER = {"state": Raw(b"}K\0}X\4\0\0\0stepK\3ss"), "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
BESIDE = {
    "args": NAMESPACE,
    "best": SCALAR,
    "epoch": 90,
    "optimizer": OPTIMIZER,
    "classes": {"cat": 0},
    "seen": Raw(b"c__builtin__\nset\n](K\1e\x85R"),
    "module": Call(Global("my_project.networks", "Mine"), (1,), {"depth": 3}),
    "old_style": Raw(b"(i__main__\nThing\n"),
    "factory": Call(Global("collections", "defaultdict"), (Global("builtins", "list"),)),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_checkpoints_with_other_things_beside_the_weights(tmp_path, container):
    content = {**BESIDE, container: TENSORS}
    for write in (torch_save.zipped, torch_save.legacy):
        assert_weights(read(tmp_path, write(content)))


def test_containers_within_containers_and_the_trained_weights_before_their_average(tmp_path):
    average = {"conv1.weight": view(np.float32([1]))}
    content = {"ema": average, "state_dict": {**BESIDE, "model": {"net": TENSORS}}}
    assert_weights(read(tmp_path, torch_save.zipped(content)))
    assert list(read(tmp_path, torch_save.zipped({"epoch": 1, "ema": average}))) == ["conv1.weight"]


def test_the_old_layout_in_a_container(tmp_path):
    def wrapped(state_dict):
        return {"args": NAMESPACE, "state_dict": {f"module.{name}": each for name, each in state_dict.items()}}

    assert_weights(read(tmp_path, torch_save.tarred(TENSORS, wrapped)))


def test_things_among_the_weights_are_left_out_and_accounted_for(tmp_path):
    quantized = Call(Global("torch._utils", "_rebuild_qtensor"), (1, 2))
    sparse = Call(Global("torch._utils", "_rebuild_sparse_tensor"), (Global("torch.serialization", "_get_layout"), ()))
    among = {"extra": NAMESPACE, "fc.q": quantized, "fc.s": sparse, "version": 2, "name": "resnet", **TENSORS}
    assert_weights(read(tmp_path, torch_save.zipped(among)))
    entries = read_entries(tmp_path / "weights.pth")
    assert entries["fc.q"] == Unread("a quantized tensor", ".dequantize()")
    assert entries["fc.s"] == Unread("a sparse tensor", ".to_dense()")


def test_parameters_subclasses_and_types_of_bytes(tmp_path):
    numbers = view(np.float32([1, 2]))
    rebuilt = Call(Global("torch._utils", "_rebuild_parameter"), (numbers, True, torch_save.empty_dictionary()))
    storage = Persistent(("storage", Global("torch.cuda", "FloatStorage"), "0", "cuda:0", 2))
    old = Call(Global("torch._utils", "_rebuild_tensor"), (storage, 1, (1,), (1,)))
    untyped = Persistent(("storage", Global("torch.storage", "UntypedStorage"), "0", "cpu", 8))
    typed = Call(
        Global("torch._utils", "_rebuild_tensor_v3"),
        (untyped, 1, (3,), (1,), False, torch_save.empty_dictionary(), Global("torch", "uint16")),
    )
    arrays = read(tmp_path, torch_save.legacy({"parameter": rebuilt, "old": old}))
    np.testing.assert_array_equal(arrays["parameter"], [1, 2])
    np.testing.assert_array_equal(arrays["old"], [2])
    path = tmp_path / "typed.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", torch_save.pickled({"typed": typed}))
        archive.writestr("archive/data/0", np.uint16([1, 2, 3, 4]).tobytes())
    assert read_state_dict(path)["typed"].tolist() == [2, 3, 4]


def test_a_big_endian_machine_s_file_and_one_without_checksums(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(torch_save.zipped({"a": view(np.float32([1, 2]).astype(">f4").view("<f4"))}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    np.testing.assert_array_equal(read_state_dict(path)["a"], [1, 2])
    content = bytearray(torch_save.zipped(TENSORS))
    # bytes 14 to 18 of a local header and 16 to 20 of a central one hold the checksum
    for signature, place in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        start = content.find(signature)
        while start >= 0:
            content[start + place : start + place + 4] = bytes(4)
            start = content.find(signature, start + 4)
    assert_weights(read(tmp_path, content))


FOREIGN = np.float32([1, 2, 3, 4])
OUTSIDE = {
    "offset behind the end": View(FOREIGN, 5, (1,), (1,)),
    "offset far behind the end": View(FOREIGN, 2**62, (1,), (1,)),
    "negative offset": View(FOREIGN, -1, (2,), (1,)),
    "negative stride": View(FOREIGN, 1, (2,), (-1,)),
    "negative stride from the end": View(FOREIGN, 3, (4,), (-1,)),
    "strides that meet again at the end": View(FOREIGN, 0, (3, 3), (-100, 101)),
    "negative size": View(FOREIGN, 0, (-2, -2), (1, 1)),
    "last element outside": View(FOREIGN, 1, (2, 2), (2, 1)),
    "a stride that overflows": View(FOREIGN, 0, (2,), (2**62,)),
    "a size that overflows": View(FOREIGN, 0, (2**33, 2**33), (0, 0)),
    "fewer strides than sizes": View(FOREIGN, 0, (2, 2), (1,)),
    "a size that is no number": View(FOREIGN, 0, ("2",), (1,)),
    "a size that is a fraction": View(FOREIGN, 0, (2.0,), (1,)),
    "a huge empty shape": View(FOREIGN, 0, (2**62, 0), (1, 1)),
    "more elements declared than there are": View(FOREIGN, 0, (100,), (1,), count=100),
    "negative number of elements": View(FOREIGN, 0, (1,), (1,), count=-4),
    "more than 64 dimensions": View(FOREIGN, 0, (1,) * 65, (1,) * 65),
}


# The oldest layout's table has no place for these.
PICKLED_ALONE = {
    what for what in OUTSIDE if what.startswith(("fewer", "a size that is", "more elements", "negative num"))
}


@pytest.mark.parametrize(
    ("layout", "what"),
    [(layout, what) for layout in LAYOUTS for what in OUTSIDE if layout != "tar" or what not in PICKLED_ALONE],
)
def test_nothing_outside_a_storage_is_read(tmp_path, what, layout):
    with pytest.raises(WeightsError, match=r"weights\.pth: "):
        read(tmp_path, LAYOUTS[layout]({"a": OUTSIDE[what]}))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_inside_their_storage_are_read(tmp_path, layout):
    inside = {
        "broadcast": View(FOREIGN, 1, (3, 2), (0, 1)),
        "overlapping": View(FOREIGN, 0, (3, 2), (1, 1)),
        "last": View(FOREIGN, 3, (1, 1), (10**18, 7)),
        "empty": View(FOREIGN, 4, (0, 3), (3, 1)),
        "none": View(np.float32([]), 0, (0,), (1,)),
    }
    arrays = read(tmp_path, LAYOUTS[layout](inside))
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "broadcast": [[2, 3], [2, 3], [2, 3]],
        "overlapping": [[1, 2], [2, 3], [3, 4]],
        "last": [[4]],
        "empty": [],
        "none": [],
    }
    assert arrays["empty"].shape == (0, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zero_strides_have_a_bound(tmp_path, layout):
    size = len(LAYOUTS[layout]({"a": View(FOREIGN, 0, (10**6,), (0,))}))
    most = (MOST_EXPANSION * size + FREE_BYTES) // 4
    fits = most - size  # the members of an archive count too
    assert read(tmp_path, LAYOUTS[layout]({"a": View(FOREIGN, 0, (fits,), (0,))}))["a"].shape == (fits,)
    for shape in ((most * 2,), (2**20, 2**20), (2**31,)):
        with pytest.raises(WeightsError, match=r"would unpack to more than 64 times as many"):
            read(tmp_path, LAYOUTS[layout]({"a": View(FOREIGN, 0, shape, (0,) * len(shape))}))


def test_many_tensors_share_one_bound(tmp_path):
    each = View(FOREIGN, 0, (200_000,), (0,))
    with pytest.raises(WeightsError, match=r"would unpack to more than 64 times as many"):
        read(tmp_path, torch_save.zipped({str(number): each for number in range(3)}))


def test_deflated_archives_have_a_bound(tmp_path):
    assert_weights(read(tmp_path, torch_save.zipped(TENSORS, zipfile.ZIP_DEFLATED)))
    zeros = {"a": view(np.zeros(10**6, np.float32))}
    content = torch_save.zipped(zeros, zipfile.ZIP_DEFLATED)
    assert len(content) < 10_000
    with pytest.raises(WeightsError, match=r"would unpack to more than 64 times as many"):
        read(tmp_path, content)
    with pytest.raises(WeightsError, match=r"packed in a way that torch\.save does not"):
        read(tmp_path, torch_save.zipped(zeros, zipfile.ZIP_LZMA))


def test_an_archive_that_unpacks_to_more_than_it_declares(tmp_path):
    content = torch_save.zipped({"a": view(np.zeros(10**5, np.float32))}, zipfile.ZIP_DEFLATED)
    declared = (4 * 10**5).to_bytes(4, "little")
    assert content.count(declared) == 2
    with pytest.raises(WeightsError):
        read(tmp_path, content.replace(declared, (400).to_bytes(4, "little")))


def test_counts_that_the_file_cannot_hold(tmp_path):
    for write in (torch_save.legacy, torch_save.tarred):
        content = write({"a": view(FOREIGN)})
        count = (4).to_bytes(8, "little") + FOREIGN.tobytes()
        assert content.count(count) == 1
        for wrong in (2**62, 2**40, -1, 5, 3):
            damaged = content.replace(count, wrong.to_bytes(8, "little", signed=True) + FOREIGN.tobytes())
            with pytest.raises(WeightsError, match=r"weights\.pth: "):
                read(tmp_path, damaged)


def test_damaged_and_foreign_archives(tmp_path):
    whole = torch_save.tarred(TENSORS)
    for position in (0, 130, 150, 600, len(whole) // 2):  # a name, a size, a checksum, contents
        damaged = bytearray(whole)
        damaged[position] ^= 2
        try:
            arrays = read(tmp_path, bytes(damaged))
        except WeightsError:
            continue
        assert set(arrays) == set(WEIGHTS), "contents have no checksum; names and shapes hold"
    for content in (whole[:1000], whole[:512], whole[:-12000]):
        with pytest.raises(WeightsError):
            read(tmp_path, content)
    with zipfile.ZipFile(tmp_path / "two.pth", "w") as archive:
        archive.writestr("a/data.pkl", torch_save.pickled({}))
        archive.writestr("b/data.pkl", torch_save.pickled({}))
    with pytest.raises(WeightsError, match=r"an archive with 2 data\.pkl, not one"):
        read_state_dict(tmp_path / "two.pth")
    with zipfile.ZipFile(tmp_path / "none.pth", "w") as archive:
        archive.writestr("weights.npy", b"")
    with pytest.raises(WeightsError, match=r"an archive with 0 data\.pkl.*weights\.npy"):
        read_state_dict(tmp_path / "none.pth")
