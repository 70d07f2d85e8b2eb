"""Memory that a machine, a container and `ulimit -v` leave."""

import platform
import resource
import subprocess
import sys

import pytest

from cnn_jax.run import host_memory

GIB = 1 << 30


def written(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def system(tmp_path):
    """Makes a proc file system: 16 GiB available, 4 GiB of swap free, and the control groups that a test names."""

    def made(cgroup):
        meminfo = f"MemTotal: 99999999 kB\nMemAvailable:   {16 << 20} kB\nSwapFree:  {4 << 20} kB\nHugePages_Total: 0\n"
        files = {"meminfo": meminfo, "self/cgroup": cgroup, "self/status": "Name:\tpython\nVmSize:\t 1048576 kB\n"}
        return written(tmp_path / "proc", files)

    return made


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("", {}, 20),
        ("0::/\n", {"memory.max": "max\n", "memory.current": f"{GIB}"}, 20),
        ("0::/\n", {"memory.max": f"{8 * GIB}\n", "memory.current": f"{5 * GIB}\n", "memory.stat": "anon 5\n"}, 3),
        (
            "0::/a/b\n",
            {
                "memory.max": "max",
                "a/memory.max": f"{6 * GIB}",
                "a/memory.current": f"{5 * GIB}",
                "a/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
                "a/b/memory.max": f"{9 * GIB}",
                "a/b/memory.current": "0",
            },
            3,
        ),
        ("0::/on/the/host\n", {"memory.max": f"{2 * GIB}", "memory.current": f"{GIB}"}, 1),
        (
            "5:cpu,cpuacct:/x\n4:hugetlb,memory:/job\n1:name=systemd:/y\n0::/\n",
            {
                "memory/job/memory.limit_in_bytes": f"{4 * GIB}",
                "memory/job/memory.usage_in_bytes": f"{3 * GIB}",
                "memory/job/memory.stat": f"total_inactive_file {GIB}\n",
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": "0",
            },
            2,
        ),
        ("0::/\n", {"memory.max": f"{GIB}", "memory.current": f"{2 * GIB}"}, 0),
    ],
)
def test_the_least_of_the_limits(tmp_path, system, cgroup, files, expected):
    groups = written(tmp_path / "groups", files)
    assert host_memory.free_bytes(system(cgroup), groups) == expected * GIB


def test_a_limit_of_the_address_space(tmp_path, system, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3 * GIB, resource.RLIM_INFINITY))
    assert host_memory.free_bytes(system(""), tmp_path) == 2 * GIB


def test_systems_that_do_not_tell(tmp_path):
    assert host_memory.free_bytes(tmp_path, tmp_path) is None


def test_this_machine_has_some():
    assert 0 < host_memory.free_bytes() < 1 << 50


BLOCKS = """
import resource, sys
import numpy as np
from cnn_jax.run import host_memory

def write():
    for number in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(2**26, np.uint8)
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

pages = []
if sys.argv[1] == "keep":
    host_memory.keep_freed()
write()
print(pages[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems are left as they are")
def test_freed_memory_is_not_cleared_anew():
    pages = {}
    for how in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, check=True)
        pages[how] = int(done.stdout)
    assert pages["leave"] >= 2**26 // resource.getpagesize() // 512, "of the largest pages that the system may give"
    assert pages["keep"] < pages["leave"] / 10
