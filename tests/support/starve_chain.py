"""Let a reproduction run out of memory and of disk: `python starve_chain.py FOLDER [PROFILE] [SEED]`.

For hand use on Linux, as root: it mounts a filesystem of its own (tmpfs) and makes a memory cgroup (version
1). A run gets so little memory that the system kills its kernels; then the disk is filled at five random
moments and freed again when the run has ended. The same command is started again each time. Prints JSON: what
each start said in the end, jobs that had finished and were started again, files that differ from those of a
run that nothing disturbed. Exit status 1 if there is any, or if a start did not say why it ended.
"""

import errno
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kill_chain import jobs, rows, start

MOMENTS = 5
DISK = 2**30
SPARE = 30 * 2**20
"""Bytes of memory that a run is left once its first kernel has started."""
CGROUP = Path("/sys/fs/cgroup/memory/ccutils-starve")
Harm = Callable[[Path], Callable[[], object]]
"""What is done to a run whose log is given; it returns how to undo it."""
WHY_DISK = re.compile(r"No space left on device|disk .*is full|\d MB left")
WHY_MEMORY = re.compile(r"most often for want of memory")


def fill(folder: Path) -> Path:
    """Take all that is left of the folder's filesystem, by a file whose path is returned."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(2**16)):
                continue
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def squeeze(log: Path) -> Callable[[], object]:
    """Leave little memory once a kernel has started; return what gives it back."""
    while "\nstarted " not in log.read_text(errors="replace"):
        time.sleep(0.2)
    time.sleep(3)
    taken = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    limit, most = CGROUP / "memory.limit_in_bytes", SPARE
    most += int(taken["total_rss"]) + int(taken.get("total_shmem", 0))
    limit.write_text(str(most))
    return lambda: limit.write_text("-1")


class Starts:
    """Starts the same command again and again, and keeps what is to be told of it."""

    def __init__(self, folder: Path, profile: str, disk: Path) -> None:
        self.folder, self.profile, self.results = folder, profile, disk / "results"
        self.number, self.finished = 0, set[str]()
        self.report: dict[str, list[object]] = {"said": [], "done again": [], "differ": [], "unexplained": []}

    def __call__(self, what: str, why: re.Pattern[str] | None, harm: Harm | None = None) -> None:
        """Run the command once and do it harm; it fails as `why` says, or succeeds without."""
        log = self.folder / f"{what}-{self.number}.log"
        self.number += 1
        process = start(self.profile, self.results, log)
        undo = harm(log) if harm else None
        status = process.wait()
        if undo:
            undo()
        text = log.read_text(errors="replace")
        self.report["done again"] += sorted(jobs(log, "started") & self.finished)
        self.finished |= jobs(log, "finished")
        self.report["said"].append({log.name: status, "last": text.splitlines()[-4:]})
        print(log.name, status, *text.splitlines()[-4:], sep="\n  ", flush=True)
        if bool(status) != bool(why) or (why and not why.search(text)) or "Traceback" in text:
            self.report["unexplained"].append(log.name)


def main(folder: Path, profile: str = "smoke", seed: int = 0) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    draw, disk, began = random.Random(seed), folder / "disk", time.monotonic()
    if start(profile, folder / "whole", folder / "whole.log").wait():
        raise SystemExit(f"the run that nothing disturbs failed: {folder / 'whole.log'}")
    seconds, wanted = time.monotonic() - began, rows(folder / "whole")
    disk.mkdir(exist_ok=True)
    CGROUP.mkdir(exist_ok=True)
    (CGROUP / "cgroup.procs").write_text(str(os.getpid()))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
    try:
        run = Starts(folder, profile, disk)
        run("memory", WHY_MEMORY, squeeze)

        def fill_later(_: Path) -> Callable[[], object]:
            time.sleep(draw.uniform(2, seconds / 8))
            return fill(disk).unlink

        for _ in range(MOMENTS):
            run("disk", WHY_DISK, fill_later)
        run("enough", None)
        there = rows(run.results)
        run.report["differ"] += [
            n for n in sorted(wanted.keys() | there.keys()) if wanted.get(n) != there.get(n)
        ]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        (CGROUP.parent / "cgroup.procs").write_text(str(os.getpid()))
    print(json.dumps(run.report, indent=1))
    return int(any(run.report[what] for what in ("done again", "differ", "unexplained")))


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:]]
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3], *numbers))
