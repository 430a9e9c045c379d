"""What an addition to a LivePool costs, and a question after it, by the size of the pool and the similarity.

python benchmarks/live_pool.py

Processor time, which other work on the machine changes less than the time of the clock.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contexts import fastest, machine, made_up_texts

from ccutils.probes import LivePool
from ccutils.tasks import Example

ADDED = 100
COLUMNS = ("similarity", "pool", "index s", "add ms", "ask ms", f"ask ms after {ADDED} additions")


def main() -> None:
    """Print the machine and a table in Markdown, a line for each similarity and size; the best of three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--similarities", nargs="+", default=["bm25", "tfidf"], help="also: minilm")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for similarity in given.similarities:
        LivePool.make(
            [Example(text, "label") for text in made_up_texts(9)], similarity
        )  # imports are no cost
        for size in given.sizes:
            examples = [Example(text, "label") for text in made_up_texts(size + ADDED)]
            question, new = examples[7], examples[size]
            start = time.process_time()
            pool = LivePool.make(examples[:size], similarity)
            made = time.process_time() - start
            more = pool.plus(*examples[size:])
            add = least(lambda pool=pool, new=new: [pool.plus(new) for _ in range(1000)])
            ask, after = (
                1000 * least(lambda p=p, question=question: p.nearest(question, 8)) for p in (pool, more)
            )
            print(
                f"| {similarity} | {size:,} | {made:.2g} | {add:.2g} | {ask:.2g} | {after:.2g} |", flush=True
            )


def least(work: Callable[[], object]) -> float:
    """Return the processor's seconds of the fastest of three runs."""
    return fastest(work, 3, time.process_time)


if __name__ == "__main__":
    main()
