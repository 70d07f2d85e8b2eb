"""Memory for images: what fits, and what devices can share."""

import numpy as np
import pytest

from cnn_jax.data import DataError
from cnn_jax.data.sources import memory


@pytest.mark.parametrize(("free", "fits"), [(1000, True), (999, False), (0, False), (None, True)])
def test_what_does_not_fit_is_refused_with_the_figures(monkeypatch, free, fits):
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: free)
    if fits:
        memory.require(1000, "config.data.train_file: x.csv")
    else:
        with pytest.raises(
            DataError, match=rf"^config.data.train_file: x.csv: .* 1,000 bytes of memory, and {free} bytes"
        ):
            memory.require(1000, "config.data.train_file: x.csv")


@pytest.mark.parametrize(
    ("statistics", "fits"),
    [
        (None, True),
        ({}, True),
        ({"bytes_in_use": 5}, True),
        ({"bytes_limit": 3_000_000}, True),
        ({"bytes_limit": 4_000_000, "bytes_in_use": 1_000_000}, True),
        ({"bytes_limit": 4_000_000, "bytes_in_use": 1_000_001}, False),
    ],
)
def test_what_does_not_fit_on_a_device_is_refused(statistics, fits):
    if fits:
        memory.require_on_device(3_000_000, statistics)
    else:
        with pytest.raises(DataError, match=r"take 3.0 MB of every device's memory, and 3.0 MB are free; .*records"):
            memory.require_on_device(3_000_000, statistics)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999_999, "999,999 bytes"),
        (1_500_000, "1.5 MB"),
        (17 * 10**9, "17.0 GB"),
        (2 * 10**15, "2,000.0 TB"),
    ],
)
def test_sizes_in_words(size, text):
    assert memory.shown(size) == text


@pytest.mark.parametrize("shape", [(1,), (63,), (5, 7, 3), (1000, 28, 28, 1)])
def test_memory_begins_where_devices_can_share_it(shape):
    for _ in range(5):
        array = memory.empty(shape)
        assert array.shape == shape
        assert array.dtype == np.uint8
        assert array.ctypes.data % 64 == 0


def test_only_what_cannot_be_shared_is_copied():
    whole = memory.empty((10, 64))
    whole[...] = np.arange(640).reshape(10, 64) % 256
    assert memory.shareable(whole).ctypes.data == whole.ctypes.data
    for part in (whole[:, 1:], whole[::2], whole.T, whole.reshape(-1)[1:]):
        shared = memory.shareable(part)
        assert shared.ctypes.data % 64 == 0
        assert not np.shares_memory(shared, whole)
        np.testing.assert_array_equal(shared, part)
    numbers = np.arange(17, dtype=np.int32)[1:]
    np.testing.assert_array_equal(memory.shareable(numbers), numbers)
    assert memory.shareable(numbers).dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        memory.shareable(whole)[0, 0] = 1
