"""Every dry run that docs/tpu.md shows prints what the page shows, to the letter."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tpu.md"
COMMAND = r"^```bash\npython -m (scripts\.tpu\S*) ([^\n]* --dry_run[^\n]*)\n```\n\n"
SHOWN = re.compile(COMMAND + r"```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNS = [match.groups() for match in SHOWN.finditer(PAGE.read_text(encoding="utf-8"))]


def test_every_dry_run_is_compared_and_every_verb_is_shown():
    assert len(RUNS) == len(re.findall(r"^python .*--dry_run", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    verbs = {(module, words.split()[0]) for module, words, _ in RUNS}
    queued = ("create", "install", "launch", "logs", "status", "resume", "delete", "run")
    others = [(f"scripts.tpu.{tool}", verb) for tool in ("gke", "skypilot") for verb in ("launch", "logs", "delete")]
    assert verbs == {*(("scripts.tpu", verb) for verb in queued), *others}


@pytest.mark.parametrize(("module", "words", "shown"), RUNS, ids=lambda text: text.split()[0] if text else "")
def test_a_dry_run_prints_what_is_shown(cloud, module, words, shown):
    done = cloud.run(*shlex.split(words), module=module)
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown
    assert not cloud.calls
