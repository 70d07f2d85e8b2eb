"""A checkout with the launch scripts, and stand-ins for the cloud's tools first on the PATH."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from moments import is_running, wait_until

ROOT = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


@dataclasses.dataclass
class Cloud:
    """The stand-ins' folder, and the checkout from which they are called."""

    folder: Path
    checkout: Path

    def answers(self, *answers):
        (self.folder / "answers.json").write_text(json.dumps(answers))

    @property
    def environment(self):
        return {
            "PATH": str(self.folder / "bin"),
            "STAND_IN": str(self.folder),
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, *words, module="scripts.tpu"):
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words, module="scripts.tpu"):
        process = self.start(*words, module=module)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @property
    def calls(self):
        """Every call of a stand-in, as a list of words."""
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def steps(self):
        """Every call, by what it does: `create`, `install`, `state`, ..."""
        names = []
        for call in self.calls:
            worker = next((word.split()[2] for word in call if word.startswith("--command=sh worker.sh ")), None)
            names.append(worker or ("scp" if "scp" in call else call[4]))
        return names

    def wait_for(self, step):
        """Waits until this step was called and a stand-in hangs."""
        self.wait_for_a_hang()
        assert step in self.steps

    def wait_for_a_hang(self):
        """Waits until a stand-in hangs."""
        wait_until((self.folder / "pids").exists, f"a hang after {self.calls}")

    def left(self):
        """The stand-ins that hung and still run."""
        pids = [int(pid) for pid in (self.folder / "pids").read_text().split()]
        return [pid for pid in pids if is_running(pid)]


@pytest.fixture(scope="session")
def committed(tmp_path_factory):
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "scripts" / "tpu", checkout / "scripts" / "tpu", ignore=shutil.ignore_patterns("__pycache__")
    )
    (checkout / "experiments").mkdir()
    (checkout / "experiments" / "a.py").write_text("def get_config():\n    return {}\n")
    (checkout / ".gitignore").write_text("build/\n__pycache__/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*GIT, *words], cwd=checkout, check=True)
    return checkout


@pytest.fixture
def cloud(tmp_path, committed):
    binaries = tmp_path / "bin"
    binaries.mkdir()
    text = Path(__file__).with_name("stand_in.py").read_text()
    for tool in ("gcloud", "xpk", "sky"):
        (binaries / tool).write_text(f"#!{sys.executable} -IS\n{text}")
        (binaries / tool).chmod(0o755)
    for tool in ("git", "rm"):  # no other folder is on the PATH: a real gcloud must never be reached
        (binaries / tool).symlink_to(shutil.which(tool))
    cloud = Cloud(tmp_path, committed)
    cloud.answers()
    yield cloud
    if (tmp_path / "pids").exists():
        for pid in cloud.left():
            os.kill(pid, signal.SIGKILL)
