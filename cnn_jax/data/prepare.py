"""`python -m cnn_jax.data.prepare`: gets a named data set ready, by Debian's package where that is possible."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from cnn_jax import user_path
from cnn_jax.data.errors import DataError
from cnn_jax.data.sources.mnist import load_named
from cnn_jax.data.sources.mnist_sets import NAMED_SETS, NamedSet
from cnn_jax.data.sources.published import default_data_dir
from cnn_jax.plain_text import plain_lines


def main(argv: list[str]) -> int:
    """Prepares one data set and says where it is; the exit code is 2 where it cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m cnn_jax.data.prepare", description=__doc__)
    parser.add_argument("--name", choices=sorted(NAMED_SETS), default="fashion_mnist", help="which data set")
    parser.add_argument("--data_dir", type=user_path.expand, help="folder of prepared data")
    options = parser.parse_args(argv)
    named = NAMED_SETS[options.name]
    begun = time.monotonic()
    try:
        data_dir = options.data_dir or default_data_dir()
        if not (data_dir / named.name / "idx").is_dir():
            install_package(named)
        train, test = load_named(named, None, data_dir)
    except DataError as error:
        print(plain_lines(error), file=sys.stderr)
        return 2
    seconds = time.monotonic() - begun
    counts = f"{len(train):,} training and {len(test):,} test images"
    print(plain_lines(f"{named.title}: {counts} in {data_dir / named.name} ({seconds:.1f} s)"))
    return 0


def install_package(named: NamedSet) -> None:
    """Installs Debian's package of a data set where apt-get is there and may; else does nothing."""
    if named.debian_package is None or named.debian_folder is None or Path(named.debian_folder).is_dir():
        return
    apt_get = shutil.which("apt-get")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if apt_get is None or (sudo and (not shutil.which("sudo") or not _succeeds([*sudo, "true"]))):
        return
    install = [*sudo, apt_get, "install", "-y", "--no-install-recommends", named.debian_package]
    print(f"installing Debian's package {named.debian_package}")
    # An old package list is the usual reason for a failure: then it is renewed, and the package tried again.
    if not _succeeds(install) and _succeeds([*sudo, apt_get, "update"]):
        _succeeds(install)


def _succeeds(command: list[str]) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
