"""How time and memory grow: neighbours by BM25 and by FAISS, contexts drawn, prompts made, probes judged.

python benchmarks/growth.py
python benchmarks/growth.py --bm25 1000 10000 100000 --dense 1000 10000 100000 1000000 --drawn 1000 1000000

Each size runs in a process of its own: its peak of memory is its own. A pool of n is searched with
`--queries` texts; "all" is what n of them would take. Vectors are made up, in clusters as embeddings have;
recall@k is the share of the exact nearest that the approximate index finds.

A last table goes on to 10^7 and 10^8, which were not measured: seconds by the power law through the two
largest pools that were, memory by the straight line through them. benchmarks/README.md says what they need.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from contexts import contexts_per_second, fastest, machine, made_up_texts

from ccutils.contexts.neighbours import Index
from ccutils.contexts.prompts import Prompter
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import make_questions
from ccutils.tasks import load_task

K, WIDTH = 8, 64
BEYOND = (10**7, 10**8)


def bm25(n: int, queries: int) -> dict[str, float]:
    """Exact BM25 over n made-up utterances."""
    texts = made_up_texts(n)
    start = time.process_time()
    index = Index(texts)
    built = time.process_time()
    index.search(texts[:queries], K)
    each = (time.process_time() - built) / min(queries, n)
    return {"index s": built - start, "ms a query": 1000 * each, "all s": each * n}


def dense(n: int, queries: int) -> dict[str, float]:
    """FAISS over n vectors: every one compared, and an inverted file that compares those of 16 cells."""
    import faiss

    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(10, n // 100), WIDTH)).astype(np.float32)
    # In place, since what else lay in memory would count as the index's.
    x = rng.standard_normal((n, WIDTH), dtype=np.float32)
    x *= 0.7
    for part in np.split(x, range(10_000, n, 10_000)):
        part += centres[rng.integers(len(centres), size=len(part))]
    faiss.normalize_L2(x)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(x)
    start = time.process_time()
    _, exact = flat.search(x[:queries], K)
    compared = time.process_time()
    del flat
    cells = round(n**0.5)
    middles = faiss.IndexFlatIP(WIDTH)
    file = faiss.IndexIVFFlat(middles, WIDTH, cells, faiss.METRIC_INNER_PRODUCT)
    file.train(x[: 40 * cells])
    file.add(x)
    file.nprobe = 16
    built = time.process_time()
    _, near = file.search(x[:queries], K)
    found = time.process_time()
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(exact.tolist(), near.tolist(), strict=True)])
    q = min(queries, n)
    return {
        "exact ms a query": 1000 * (compared - start) / q,
        "index s": built - compared,
        "ms a query": 1000 * (found - built) / q,
        "times exact": (compared - start) / (found - built),
        "recall": float(recall),
        "all s": n * (found - built) / q,
    }


def drawn(n: int, queries: int) -> dict[str, float]:
    """Draw contexts for every target of a pool of n: how many a second (of wall time)."""
    return {"contexts/s": contexts_per_second("contrastive", K, n, 256, 1)}


def prompts(k: int, queries: int) -> dict[str, float]:
    """Make prompts of k demonstrations: how many a second, and in half their window."""
    # Here, since torch would count as memory of the other parts.
    from ccutils.models.tiny import word_tokenizer

    task = load_task("requests", seed=0)
    tokenizer, room = word_tokenizer(task, 4000), task.max_new_tokens
    examples = task.pool[: k + 1]

    def each_second(window: int) -> tuple[float, int]:
        prompter = Prompter(tokenizer, task.template, window)
        longest = len(prompter.prompt(examples[:k], examples[k], room).ids)

        def work() -> None:
            for _ in range(queries):
                prompter.prompt(examples[:k], examples[k], room)

        return queries / fastest(work, 5, time.process_time), longest

    whole, longest = each_second(10**6)
    half, _ = each_second(longest // 2 + room)
    return {"tokens": longest, "prompts/s": whole, "prompts/s, half the window": half}


def probes(n: int, queries: int) -> dict[str, float]:
    """Make questions about n targets of each set, and judge answers to them."""
    start = time.process_time()
    questions = make_questions(load_task("topics", seed=0, n_test=n), 6, seed=0, n_targets=n)
    made = time.process_time()
    judge_answers(questions, [q.expected.output for q in questions.questions])
    judged = time.process_time() - made
    asked = len(questions.questions)
    return {
        "questions": asked,
        "made s": made - start,
        "judged s": judged,
        "ms a question": 1000 * (made - start + judged) / asked,
    }


PARTS: dict[str, tuple[Callable[[int, int], dict[str, float]], str, list[int]]] = {
    "bm25": (bm25, "pool", [10**3, 10**4, 10**5]),
    "dense": (dense, "pool", [10**3, 10**4, 10**5, 10**6]),
    "drawn": (drawn, "pool", [10**3, 10**4, 10**5, 10**6]),
    "prompts": (prompts, "k", [2, 8, 32]),
    "probes": (probes, "targets a set", [20, 100, 500, 2000]),
}
"""What measures each part, what it grows with, and the sizes measured unless others are given."""


def beyond(measured: Mapping[int, float], n: int, *, power: bool) -> float:
    """Extend the two largest pools to n, by a power law or else by a straight line.

    >>> round(beyond({10: 1, 100: 10, 1000: 1000}, 10**4, power=True))
    100000
    >>> round(beyond({100: 2.0, 200: 3.0}, 400, power=False), 6)
    5.0
    """
    x, y = np.array(sorted(measured.items())[-2:], dtype=np.float64).T
    if power:
        return float(np.exp(np.polyval(np.polyfit(np.log(x), np.log(y), 1), np.log(n))))
    return float(np.polyval(np.polyfit(x, y, 1), n))


def extended(part: str, rows: Mapping[int, Mapping[str, float]]) -> list[list[str]]:
    """Return lines of what 10^7 and 10^8 would take, by what the pools that were measured took."""
    powers = {"index s": True, "ms a query": True, "all s": True, "peak GB": False}
    measured = {name: {n: row[name] for n, row in rows.items() if name in row} for name in powers}
    return [
        [
            part,
            f"{n:,}",
            *(
                f"{beyond(measured[name], n, power=power):.2g}" if measured[name] else ""
                for name, power in powers.items()
            ),
        ]
        for n in BEYOND
    ]


def alone(part: str, n: int, queries: int) -> dict[str, Any]:
    """Measure one size of one part in a process of its own."""
    command = [sys.executable, __file__, "--only", part, str(n), "--queries", str(queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {part} of {n} failed: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table for each part, its rows the sizes that it grows with."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for part, (_, what, sizes) in PARTS.items():
        parser.add_argument(f"--{part}", type=int, nargs="*", default=sizes, help=f"sizes of: {what}")
    parser.add_argument(
        "--queries", type=int, default=500, help="texts that a pool is searched with, and prompts made"
    )
    parser.add_argument("--only", nargs=2, metavar=("PART", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.only:
        part, n = given.only
        found = PARTS[part][0](int(n), given.queries)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({**found, "peak GB": peak * (1 if sys.platform == "darwin" else 1024) / 1e9}))
        return 0
    print(machine())
    lines: list[list[str]] = []
    for part, (_, what, _) in PARTS.items():
        rows: dict[int, dict[str, float]] = {}
        for n in getattr(given, part):
            row = rows[n] = alone(part, n, given.queries)
            if len(rows) == 1:
                print(f"\n| {part}: {what} | {' | '.join(row)} |\n|{'---|' * (len(row) + 1)}")
            print(f"| {n:,} | {' | '.join(f'{value:.3g}' for value in row.values())} |", flush=True)
        if what == "pool" and len(rows) > 1:
            lines += extended(part, rows)
    if lines:
        print(f"\n| extended | pool | index s | ms a query | all s | peak GB |\n|{'---|' * 6}")
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
