"""A run killed at any step, or while it writes a checkpoint, ends with the weights of one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{SUPPORT}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(SUPPORT / "kill_and_resume.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [entry["kill"] for entry in found].count("killed_at") == 5
    for entry in found:
        assert entry["killed"], entry
        last = max([step for step in (3, 6, 9) if step <= entry["step"]], default=0)
        if entry["kill"] == "killed_while_writing":
            last = 3
        assert max(entry["whole"], default=0) == last, entry
        assert entry["same"], entry
