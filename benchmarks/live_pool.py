"""What an addition to a LivePool costs, and a question after it, by the size of the pool and the similarity.

python benchmarks/live_pool.py
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contexts import fastest, made_up_texts

from ccutils.probes import LivePool
from ccutils.tasks import Example

ADDED = 100


def main() -> None:
    """Print a line for each similarity and size; milliseconds, the best of three."""
    print("similarity      pool  index s  add ms  ask ms  ask after 100 additions ms")
    for similarity in ("bm25", "tfidf"):
        for size in (1_000, 10_000, 100_000):
            examples = [Example(text, "label") for text in made_up_texts(size + ADDED)]
            start = time.perf_counter()
            pool = LivePool.make(examples[:size], similarity)
            made = time.perf_counter() - start
            more = pool.plus(*examples[size:])
            add = 1000 * fastest(lambda pool=pool, e=examples[size]: pool.plus(e), 3)
            ask, after = (1000 * fastest(lambda p=p, e=examples[7]: p.nearest(e, 8), 3) for p in (pool, more))
            print(f"{similarity:<10}{size:>10}{made:>9.1f}{add:>8.3f}{ask:>8.1f}{after:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
