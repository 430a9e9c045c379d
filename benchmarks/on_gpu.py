"""All that a GPU alone can show, in one command of some twelve minutes on a large card.

python benchmarks/on_gpu.py                       everything; the table goes to results/on_gpu
python benchmarks/on_gpu.py --only memory fp16    some checks alone
python benchmarks/on_gpu.py --rehearse            on a CPU, with models as small as can be: does it run?

Memory of NF4 training predicted against measured (random weights in the shape of Llamas of 1B, 3B and 8B,
made on the device; a share of the card's memory stands for cards of 16 and 24 GB), float16 as a T4 computes
and with the plain attention kernel, speed against TRL with Liger and without padding where they are there,
paged AdamW, a run that is killed and goes on, answers a second, two
processes where there are two cards. Nothing else may use the card. Every piece of work has a process of its
own. Needs 30 GB of disk for temporary files (TMPDIR=/dev/shm is fastest, where it has room).

The status is 0 where every aim is met, 1 where one is missed or a check could not be run, 2 without a GPU.
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

from benchmarks.gpu.isolated import Failed, Isolation, tell
from benchmarks.gpu.made import FULL, REHEARSAL, TEXTS, Bench, make_bases, write_texts
from benchmarks.gpu.memory import check_memory, check_t4
from benchmarks.gpu.rows import Row, failed, status, summary, table
from benchmarks.gpu.runs import check_paged, check_resume, check_two
from benchmarks.gpu.speed import check_evaluation, check_training
from benchmarks.gpu.surroundings import describe, describe_code

Check = Callable[[Bench], Iterator[Row]]
CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {  # with the bases that they need
    "training": (check_training, ("1B",)),
    "memory": (check_memory, ("1B", "3B", "8B")),
    "fp16": (check_t4, ("1B", "8B")),
    "paged": (check_paged, ("small",)),
    "resume": (check_resume, ("small",)),
    "evaluation": (check_evaluation, ("1B",)),
    "two": (check_two, ("small",)),
}

REHEARSED = "A rehearsal on a CPU, with tiny models in float32: times and sizes say nothing."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, write what they found after each row, and return the status."""
    given = read(arguments)
    started = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    log = given.out / "on_gpu.log"
    log.unlink(missing_ok=True)
    apart = Isolation(log, started + 60 * given.minutes)
    scale = FULL
    if given.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import_all()
        apart, scale = Isolation(log, apart.deadline, most=60 * given.minutes, fork=True), REHEARSAL
    try:
        about = apart.run(describe) | describe_code() | {"rehearsal": given.rehearse}
    except Failed as error:
        print(f"error: {error}; see {log}", file=sys.stderr)
        return 2
    if not about["gpu"] and not given.rehearse:
        print("error: no GPU is to be seen here: try --rehearse, or run it where one is.", file=sys.stderr)
        return 2
    print(f"{about['card']}; {about['versions']}", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in run_checks(Bench(scale, Path(folder), apart), given.only):
            seconds = time.monotonic() - started
            print(f"{seconds:5.0f} s  {row.check}: {row.what}: {row.measured}", flush=True)
            rows.append(row)
            write(given.out, {**about, "seconds": round(seconds)}, rows)
    print(f"\n{table(rows)}\n\n{summary(rows)}", flush=True)
    return status(rows)


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="which checks (all)")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, as small as can be")
    parser.add_argument("--minutes", type=float, default=20, help="time for all; what is left is told (20)")
    parser.add_argument("--out", type=Path, default=Path("results/on_gpu"), help="folder for table and JSON")
    return parser.parse_args(arguments)


def run_checks(bench: Bench, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of the checks; one that fails is a row, and the next begins."""
    write_texts(bench.scale, bench.folder / TEXTS)
    needed = dict.fromkeys(base for name in names for base in CHECKS[name][1])
    shapes = {base: bench.scale.shapes[base] for base in needed}
    try:
        unmade = bench.apart.run(make_bases, shapes, bench.scale.window, bench.folder)
    except Failed as error:
        yield failed("bases", ", ".join(shapes), str(error))
    else:
        yield from (failed("bases", base, why) for base, why in unmade.items())
    for place, name in enumerate(names, start=1):
        print(f"[{place}/{len(names)}] {name}", flush=True)
        try:
            yield from CHECKS[name][0](bench)
        except Exception as error:  # whatever it is, the other checks are to be run
            yield failed(name, "the check itself", tell(error))
        shutil.rmtree(bench.folder / "runs", ignore_errors=True)


def write(out: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the table in Markdown and all there is to know as JSON."""
    kind = f"{REHEARSED}\n\n" if about["rehearsal"] else ""
    facts = f"{about['date']}; {about['card']}; {about['versions']}; commit {about['commit']} "
    facts += f"({about['tree']}); {about['seconds']} s"
    text = f"{kind}{facts}\n\n{table(rows)}\n\n{summary(rows)}\n"
    (out / "on_gpu.md").write_text(text, encoding="utf-8")
    known = {**about, "rows": [asdict(row) for row in rows]}
    (out / "on_gpu.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def import_all() -> None:
    """Import what the work of a rehearsal needs, once for all processes that are made of this one."""
    import torch

    from benchmarks import evaluate  # noqa: F401
    from ccutils.evaluation import responder  # noqa: F401
    from ccutils.training import run  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends as well
    sys.exit(main())
