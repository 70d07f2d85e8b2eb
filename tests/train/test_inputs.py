"""Images in memory on the devices: one copy for all devices of the host."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.train import inputs, sharding
from tests.forced_devices import environment

ROOT = Path(__file__).parent.parent.parent
# Puts images on four devices; prints whether they lie where the split has them, and every device's sum.
SCRIPT = """
import json, sys
import jax, numpy as np
from cnn_jax.data.sources import memory
from cnn_jax.data.split import Split
from cnn_jax.train import inputs, sharding
images = memory.empty((50, 8, 8, 3))
images[...] = np.arange(images.size).reshape(images.shape) % 251
split = Split(images, np.arange(50, dtype=np.int32))
data = inputs.on_devices(split, None, sharding.data_mesh())
shards = data.images.addressable_shards
json.dump({
    "devices": jax.device_count(),
    "shared": [shard.data.unsafe_buffer_pointer() == images.ctypes.data for shard in shards],
    "sums": [int(np.asarray(shard.data).sum()) for shard in shards],
}, sys.stdout)
"""


def test_forced_devices_share_the_memory_of_the_split():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment(4), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    expected = int((np.arange(50 * 8 * 8 * 3) % 251).sum())
    assert found == {"devices": 4, "shared": [True] * 4, "sums": [expected] * 4}


@pytest.mark.parametrize("offset", [0, 1, 16])
def test_memory_that_cannot_be_shared_is_copied_once(offset):
    images = memory.empty((64 * 48 + 64,))[offset : offset + 64 * 48].reshape(64, 4, 4, 3)
    images[...] = 7
    data = inputs.on_devices(Split(images, np.zeros(64, np.int32)), None, sharding.data_mesh())
    assert (data.images.unsafe_buffer_pointer() == images.ctypes.data) == (offset == 0)
    np.testing.assert_array_equal(data.images, images)
