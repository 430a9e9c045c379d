"""Kill a reproduction again and again: `python tests/support/kill_chain.py FOLDER [PROFILE] [KILLS] [SEED]`.

For hand use, since it takes as long as KILLS half runs. The process group of ./reproduce.sh gets SIGKILL at
random moments, and the same command is started again at once; whenever a run comes to its end, its rows are
compared byte for byte with those of a run that nothing disturbed, and the next begins in a new folder.
Prints JSON: what was killed when, jobs that had finished and were started again, files that differ. Exit
status 1 if there is any of these, or if a run failed.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(profile: str, results: Path, log: Path) -> subprocess.Popen[bytes]:
    command = ["./reproduce.sh", "--profile", profile, "--set", f"results={results}"]
    environment = {**os.environ, "CCUTILS_PYTHON": sys.executable}
    with log.open("wb") as out:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, process_group=0
        )


def rows(results: Path) -> dict[str, str]:
    """Return every table of a results folder, by its hash."""
    found = (path for path in results.rglob("*.parquet") if ".snakemake" not in path.parts)
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def jobs(log: Path, word: str) -> set[str]:
    """Return the jobs that a log says were started or finished.

    A job has finished once its end was written down, after which the steps done are told: a kill between the
    two makes it run again, with the answers it kept.
    """
    text = log.read_text(errors="replace")
    if word == "finished":
        text = text[: max(text.rfind("/job]"), text.rfind("Done in"), 0)]
    return set(re.findall(rf"^{word} +(\S+)", text, re.M))


def main(folder: Path, profile: str = "smoke", kills: int = 20, seed: int = 0) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    draw, began = random.Random(seed), time.monotonic()
    if start(profile, folder / "whole", folder / "whole.log").wait():
        raise SystemExit(f"the run that nothing disturbs failed: {folder / 'whole.log'}")
    seconds, wanted = time.monotonic() - began, rows(folder / "whole")
    print(f"undisturbed: {seconds:.0f} s, {len(wanted)} tables", flush=True)
    report: dict[str, list[object]] = {"killed": [], "done again": [], "differ": [], "failed": []}
    results, finished, runs, number = folder / "killed-0", set[str](), 0, 0
    while True:
        log = folder / f"start-{number}.log"
        number += 1
        process = start(profile, results, log)
        try:
            status = process.wait(None if kills <= 0 else draw.uniform(0, seconds / 2))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status, kills = None, kills - 1
        report["done again"] += sorted(jobs(log, "started") & finished)
        finished |= jobs(log, "finished")
        lines = log.read_text(errors="replace").splitlines()
        if status is None:
            report["killed"].append({"log": log.name, "last": lines[-1:]})
            print(f"killed {log.name}: {lines[-1:]}", flush=True)
            continue
        if status:
            report["failed"].append({"log": log.name, "status": status, "last": lines[-3:]})
        else:
            there = rows(results)
            names = sorted(wanted.keys() | there.keys())
            report["differ"] += [f"{log.name}: {n}" for n in names if wanted.get(n) != there.get(n)]
        if kills <= 0 or len(report["failed"]) > 2:
            break
        runs += 1
        shutil.rmtree(results)
        results, finished = folder / f"killed-{runs}", set()
    print(json.dumps(report, indent=1))
    return int(any(report[what] for what in ("done again", "differ", "failed")))


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:]]
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3], *numbers))
