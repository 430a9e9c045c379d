"""Run the benchmarks one after the other and print what they print, as Markdown.

python benchmarks/run_all.py                     some 10 minutes on two cores
python benchmarks/run_all.py --only growth.py    those of a name alone

Each runs with one thread, against its peer in the same run wherever it has one, and tells its machine.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

COMMANDS = (
    "contexts.py",
    "growth.py",
    "live_pool.py",
    "evaluate.py --task topics --model tiny",
    "evaluate.py --task gloss --model tiny",
    "train_step.py --prompt 256 --steps 2",
    "train_step.py --prompt 2048 --steps 2 --only trl ours",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; the status is 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="those whose command holds this text")
    given = parser.parse_args(arguments)
    chosen = [command for command in COMMANDS if (given.only or "") in command]
    failed = 0
    for command in chosen:
        name, *options = command.split()
        start = time.monotonic()
        print(f"\n## {command}\n", flush=True)
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(name)), *options],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            failed += 1
            print(f"failed: {done.stderr.strip().splitlines()[-1:]}")
        print(f"\n{time.strftime('%Y-%m-%d')}, {time.monotonic() - start:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
