"""worker.sh, run for real in a home folder of its own, with a stand-in for the environment's Python."""

import shutil
import subprocess
from pathlib import Path

import pytest
from moments import wait_until

SCRIPT = Path(__file__).parents[2] / "scripts" / "tpu" / "worker.sh"
TOOLS = [
    "cat",
    "date",
    "git",
    "grep",
    "head",
    "hostname",
    "mkdir",
    "mv",
    "nohup",
    "rm",
    "setsid",
    "sh",
    "sleep",
    "tail",
    "wc",
]
PYTHON = """#!/bin/sh
trap 'echo saved; exit 75' TERM
echo "launched with: $*"
for word; do last=$word; done
case $last in
wait) while :; do sleep 0.05; done ;;
*) exit "$last" ;;
esac
"""


@pytest.fixture
def home(tmp_path):
    python = tmp_path / "cnn_jax" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:  # no other folder is on the PATH: a real gcloud or pip must never be reached
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    yield tmp_path
    worker(tmp_path, "stop")


def worker(home, *words):
    environment = {"HOME": str(home), "PATH": str(home / "bin")}
    return subprocess.run(
        [shutil.which("sh"), str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=600
    )


def state(home):
    return worker(home, "state").stdout.split()[2]


def ended(home):
    wait_until(lambda: state(home) != "running", "the end")
    return state(home)


def launched_to_wait(home):
    """Launches a run that waits for its stop, and waits until it does."""
    assert worker(home, "launch", "wait").returncode == 0
    wait_until(lambda: (home / "cnn_jax_run" / "log").read_text(), "the first line")


@pytest.mark.parametrize("code", ["0", "1", "2", "75"])
def test_the_exit_code_is_kept(home, code):
    assert state(home) == "none"
    assert worker(home, "launch", "train", "--a=b c", code).returncode == 0
    assert ended(home) == code
    assert (home / "cnn_jax_run" / "log").read_text() == f"launched with: launch.py train --a=b c {code}\n"


def test_it_outlives_the_call_and_stops_with_its_state_saved(home):
    launched_to_wait(home)
    assert state(home) == "running"
    again = worker(home, "launch", "wait")
    assert again.returncode == 1
    assert "a run is under way" in again.stderr
    stopped = worker(home, "stop")
    assert stopped.stdout.split()[2] == "75"
    assert (home / "cnn_jax_run" / "log").read_text().endswith("saved\n")


def test_follow_prints_from_a_byte_on_and_ends_with_the_run(home):
    worker(home, "launch", "0")
    assert ended(home) == "0"
    assert worker(home, "follow", "0", "60").stdout == "launched with: launch.py 0\n"
    assert worker(home, "follow", "9", "60").stdout == "with: launch.py 0\n"


def test_follow_ends_after_its_time(home):
    launched_to_wait(home)
    assert worker(home, "follow", "0", "1").stdout == "launched with: launch.py wait\n"
    assert state(home) == "running"


def test_a_process_that_is_gone_without_a_code(home):
    (home / "cnn_jax_run").mkdir()
    (home / "cnn_jax_run" / "pid").write_text("999999999\n")
    assert state(home) == "died"


def test_install(home):
    repository = home / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (
        ["init", "-q", str(repository)],
        ["-C", str(repository), "commit", "-q", "--allow-empty", "-m", "all"],
        ["-C", str(repository), "bundle", "create", "-q", str(home / "run.bundle"), "HEAD"],
    ):
        subprocess.run([*git, *words], check=True)
    for tool in ("python3", "gcloud"):
        (home / "bin" / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>"{home}/calls"\n')
        (home / "bin" / tool).chmod(0o755)
    done = worker(home, "install", "run.bundle", "gs://my-bucket/cnn_jax")
    assert done.returncode == 0, done.stderr
    checkout = home / "cnn_jax"
    assert (home / "calls").read_text().splitlines() == [
        "python3 -m pip install --quiet --user uv==0.13.9",
        f"python3 -m uv venv --quiet --clear --python 3.11 {checkout}/.venv",
        f"python3 -m uv pip install --quiet --python {checkout}/.venv/bin/python -r {checkout}/requirements-tpu.txt",
        f"gcloud storage rsync --recursive gs://my-bucket/cnn_jax {home}/.cache/cnn_jax",
    ]
    assert (checkout / ".git").exists()
