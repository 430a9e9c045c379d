"""All that a GPU alone can show, in one command of under ten minutes on a large card. No GPU has run it yet.

python benchmarks/on_gpu.py                       everything; the table goes to results/on_gpu
python benchmarks/on_gpu.py --only memory fp16    some checks alone
python benchmarks/on_gpu.py --rehearse            on a CPU, with models as small as can be: does it run?

Memory of NF4 training predicted against measured (random weights in the shape of Llamas of 1B, 3B and 8B,
made on the device; a share of the card's memory stands for cards of 16 and 24 GB), float16 as a T4 computes
and with the plain attention kernel, speed against TRL with Liger and without padding where they are installed,
shared contexts under FlexAttention, paged AdamW, a run that is killed and goes on, two processes where there
are two cards, answers a second. Every piece of work has a process of its own. Needs 30 GB of disk for temporary
files.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu.isolated import Failed, Isolation
from benchmarks.gpu.made import FULL, REHEARSAL, Bench, make_base, write_texts
from benchmarks.gpu.memory import check_memory, check_t4
from benchmarks.gpu.rows import Row, failed, summary, table
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
    "two": (check_two, ("small",)),
    "evaluation": (check_evaluation, ("1B",)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and write what they found after each."""
    given = read(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends as well
    scale = REHEARSAL if given.rehearse else FULL
    started = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    log = given.out / "on_gpu.log"
    log.unlink(missing_ok=True)
    if given.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import_all()
    with tempfile.TemporaryDirectory() as folder:
        apart = Isolation(log, started + 60 * given.minutes, fork=given.rehearse)
        try:
            about = apart.run(describe)
        except Failed as error:
            print(f"error: {error}; see {log}", file=sys.stderr)
            return 2
        if not about["gpu"] and not given.rehearse:
            print("error: there is no GPU here: try --rehearse, or run it where one is.", file=sys.stderr)
            return 2
        about |= describe_code() | {"rehearsal": given.rehearse}
        print(f"{about['card']}; {about['versions']}", flush=True)
        rows: list[Row] = []
        for row in run_checks(Bench(scale, Path(folder), apart), given.only):
            print(f"{time.monotonic() - started:5.0f} s  {row.check}: {row.what}: {row.measured}", flush=True)
            rows.append(row)
            write(given.out, {**about, "seconds": round(time.monotonic() - started)}, rows)
    print(f"\n{table(rows)}\n\n{summary(rows)}", flush=True)
    return 1 if any(row.met is False for row in rows) else 0


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="which checks (all)")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, as small as can be")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which no more is begun (9.5)")
    parser.add_argument("--out", type=Path, default=Path("results/on_gpu"), help="folder for table and JSON")
    return parser.parse_args(arguments)


def run_checks(bench: Bench, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of the checks; one that fails is a row, and the next begins."""
    write_texts(bench.scale, bench.folder / "made.jsonl")
    made: dict[str, str] = {}  # bases, and why they could not be made
    for name in names:
        check, needed = CHECKS[name]
        for base in needed:
            if base not in made:
                made[base] = make(bench, base)
                if made[base]:
                    yield failed(name, f"base of {base}", made[base])
        try:
            yield from check(bench)
        except Exception as error:  # whatever it is, the other checks are to be run
            yield failed(name, "the check itself", f"{type(error).__name__}: {error}")
        shutil.rmtree(bench.folder / "runs", ignore_errors=True)


def make(bench: Bench, base: str) -> str:
    """Make a base, and return why it could not be, or nothing."""
    shape, texts = bench.scale.shapes[base], bench.folder / "made.jsonl"
    try:
        bench.apart.run(make_base, shape, bench.scale.window, texts, bench.base(base))
    except Failed as error:
        return str(error)
    return ""


def write(out: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the table in Markdown and all there is to know as JSON."""
    kind = "A rehearsal on a CPU: its times say nothing.\n\n" if about["rehearsal"] else ""
    facts = "; ".join(
        f"{name} {about[name]}" for name in ("date", "card", "versions", "commit", "tree", "seconds")
    )
    text = f"{kind}{facts}\n\n{table(rows)}\n\n{summary(rows)}\n"
    (out / "on_gpu.md").write_text(text, encoding="utf-8")
    facts_and_rows = {**about, "rows": [asdict(row) for row in rows]}
    (out / "on_gpu.json").write_text(json.dumps(facts_and_rows, indent=2) + "\n", encoding="utf-8")


def import_all() -> None:
    """Import what the work of a rehearsal needs, once for all processes that are made of this one."""
    import torch

    import ccutils.evaluation.responder
    import ccutils.training.run  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
