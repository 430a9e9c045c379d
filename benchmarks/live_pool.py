"""Measure what adding an example to a LivePool costs, and a question afterwards, by pool size and similarity.

python benchmarks/live_pool.py

Times are processor times, which other work on the machine changes less than wall times.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import machine, make_parser, print_table, synthetic_texts, timed
from ccutils.probes import LivePool
from ccutils.tasks import Example

ADDED = 100


def measure(similarity: str, size: int) -> dict[str, object]:
    """Measure one similarity at one pool size; times in ms are the fastest of three runs."""
    examples = [Example(text, "label") for text in synthetic_texts(size + ADDED)]
    start = time.process_time()
    pool = LivePool.make(examples[:size], similarity)
    seconds = time.process_time() - start
    larger, question, new = pool.plus(*examples[size:]), examples[7], examples[size]
    return {
        "similarity": similarity,
        "pool": f"{size:,}",
        "index s": seconds,
        "add ms": fastest(lambda: [pool.plus(new) for _ in range(1000)]),  # 1000 additions: s are ms
        "ask ms": 1000 * fastest(partial(pool.nearest, question, 8)),
        f"ask ms after {ADDED} additions": 1000 * fastest(partial(larger.nearest, question, 8)),
    }


def fastest(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest of three runs, in seconds."""
    return timed(work, 3, time.process_time)[0]


def main() -> None:
    """Print a table, one row for each similarity and size."""
    parser = make_parser(__doc__)
    parser.add_argument("--similarities", nargs="+", default=["bm25", "tfidf"], help="also: minilm")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    print(machine())
    for similarity in given.similarities:
        measure(similarity, 9)  # not reported: it includes the imports
        print_table([measure(similarity, size) for size in given.sizes], ".2g")


if __name__ == "__main__":
    main()
