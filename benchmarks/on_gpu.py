"""Check what only a GPU can show, in one command of about twelve minutes on a large card.

python benchmarks/on_gpu.py                       all checks; the table is written to results/on_gpu
python benchmarks/on_gpu.py --only memory fp16    some checks
python benchmarks/on_gpu.py --rehearse            on a CPU with tiny models: does the code run?

- predicted and measured memory of NF4 training (random weights in the shapes of Llamas of 1B, 3B and 8B,
  created on the device; a limit on the card's memory simulates cards of 16 and 24 GB)
- float16 as a T4 computes it, also with the plain attention kernel
- speed against TRL, with Liger and without padding if those packages are installed
- paged AdamW; a killed run that resumes; questions answered a second

No other program may use the card. Each piece of work has a process of its own. Needs 30 GB of disk for
temporary files (TMPDIR=/dev/shm is the fastest, if it has that much).

Exit status: 0 if every aim is met, 1 if one is missed or a check failed, 2 without a GPU.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import describe_card, machine, make_parser
from benchmarks.gpu.isolated import Failed, Isolation, describe_error
from benchmarks.gpu.made import FULL, REHEARSAL, TEXTS, Bench, make_bases, write_texts
from benchmarks.gpu.memory import check_fp16, check_memory
from benchmarks.gpu.rows import Row, failed, summary, table
from benchmarks.gpu.runs import check_paged, check_resume
from benchmarks.gpu.speed import check_evaluation, check_training
from ccutils.origin import describe_tree, read_commit

Check = Callable[[Bench], Iterator[Row]]
CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {  # and the bases that each needs
    "training": (check_training, ("1B",)),
    "memory": (check_memory, ("1B", "3B", "8B")),
    "fp16": (check_fp16, ("1B", "8B")),
    "paged": (check_paged, ("small",)),
    "resume": (check_resume, ("small",)),
    "evaluation": (check_evaluation, ("1B",)),
}

REHEARSED = "A rehearsal on a CPU with tiny models in float32: times and sizes are not meaningful."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, write the table after each row, and return the exit status."""
    given = read(arguments)
    started = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    log = given.out / "on_gpu.log"
    log.unlink(missing_ok=True)
    apart, scale = Isolation(log, started + 60 * given.minutes), FULL
    if given.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import_all()
        apart, scale = Isolation(log, apart.deadline, most=60 * given.minutes, fork=True), REHEARSAL
    try:
        about = apart.run(describe) | {"rehearsal": given.rehearse}
    except Failed as error:
        print(f"error: {error}; see {log}", file=sys.stderr)
        return 2
    if not about["gpu"] and not given.rehearse:
        print("error: no GPU found: use --rehearse, or run this on a machine with a GPU.", file=sys.stderr)
        return 2
    print(about["machine"], flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in run_checks(Bench(scale, Path(folder), apart), given.only):
            seconds = time.monotonic() - started
            print(f"{seconds:5.0f} s  {row.check}: {row.what}: {row.measured}", flush=True)
            rows.append(row)
            write(given.out, {**about, "seconds": round(seconds)}, rows)
    print(f"\n{table(rows)}\n\n{summary(rows)}", flush=True)
    return int(any(row.met is False for row in rows))


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="checks to run (all)")
    parser.add_argument("--rehearse", action="store_true", help="run on a CPU with tiny models")
    parser.add_argument("--minutes", type=float, default=20, help="time limit of all checks together (20)")
    parser.add_argument("--out", type=Path, default=Path("results/on_gpu"), help="folder of table and JSON")
    return parser.parse_args(arguments)


def describe() -> dict[str, Any]:
    """Describe the machine and the code."""
    return {
        "gpu": bool(describe_card()),
        "machine": machine(),
        "commit": read_commit(),
        "tree": describe_tree(),
    }


def run_checks(bench: Bench, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of the checks; a check that fails yields a row, and the next one starts."""
    write_texts(bench.scale, bench.folder / TEXTS)
    needed = dict.fromkeys(base for name in names for base in CHECKS[name][1])
    shapes = {base: bench.scale.shapes[base] for base in needed}
    try:
        missing = bench.apart.run(make_bases, shapes, bench.scale.window, bench.folder)
    except Failed as error:
        missing = {", ".join(shapes): str(error)}
    yield from (failed("bases", base, why) for base, why in missing.items())
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name}", flush=True)
        try:
            yield from CHECKS[name][0](bench)
        except Exception as error:  # any error: the other checks must still run
            yield failed(name, "the check itself", describe_error(error))
        shutil.rmtree(bench.folder / "runs", ignore_errors=True)


def write(out: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the table as Markdown, and all facts and rows as JSON."""
    kind = f"{REHEARSED}\n\n" if about["rehearsal"] else ""
    facts = f"{about['machine']}; commit {about['commit']} ({about['tree']}); {about['seconds']} s"
    text = f"{kind}{facts}\n\n{table(rows)}\n\n{summary(rows)}\n"
    (out / "on_gpu.md").write_text(text, encoding="utf-8")
    known = {**about, "rows": [asdict(row) for row in rows]}
    (out / "on_gpu.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def import_all() -> None:
    """Import what a rehearsal needs, once for all processes that are forked from this one."""
    import torch

    from benchmarks import evaluate  # noqa: F401
    from ccutils.evaluation import responder  # noqa: F401
    from ccutils.training import run  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that child processes end as well
    sys.exit(main())
