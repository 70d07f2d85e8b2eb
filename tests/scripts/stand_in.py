"""Stands in for a cloud tool: keeps how it was called, and answers as a recording in $STAND_IN says.

$STAND_IN/answers.json is a list of [pattern, answers]; the first pattern found in the command line counts, and each
call takes the next of its answers, the last one over and over. An answer is {"out", "err", "code", "until"}: it comes
only when there is a file $STAND_IN/UNTIL.
"""

import fcntl
import json
import os
import re
import sys
import time
from pathlib import Path

folder = Path(os.environ["STAND_IN"])
line = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
with (folder / "calls.jsonl").open("a+") as calls:
    fcntl.flock(calls, fcntl.LOCK_EX)
    calls.seek(0)
    before = [" ".join(json.loads(call)) for call in calls]
    calls.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
answer = {}
for pattern, answers in json.loads((folder / "answers.json").read_text()):
    if re.search(pattern, line):
        answer = answers[min(sum(bool(re.search(pattern, call)) for call in before), len(answers) - 1)]
        break
sys.stdout.write(answer.get("out", ""))
sys.stdout.flush()
sys.stderr.write(answer.get("err", ""))
if "until" in answer:
    (folder / "pids").open("a").write(f"{os.getpid()}\n")
    while not (folder / answer["until"]).exists():
        time.sleep(0.02)
sys.exit(answer.get("code", 0))
