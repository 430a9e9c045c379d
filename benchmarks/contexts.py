"""Measure contexts sampled a second and the time to find neighbours, on a file or on synthetic texts.

python benchmarks/contexts.py
python benchmarks/contexts.py --file ../shared/data/mtop_en/train.jsonl --column question
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import machine, make_parser, synthetic_texts, timed
from ccutils.contexts.neighbours import Neighbours, duplicate_groups, pool_neighbours
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.errors import command
from ccutils.records import STRATEGIES
from ccutils.tasks.files import read_records


def contexts_per_second(strategy: str, k: int, pool: int, batch: int, repeats: int) -> float:
    """Sample one context for every target of a pool, in batches; return the contexts sampled a second."""
    rows = (np.arange(pool)[:, None] + np.arange(1, k + 1)) % pool
    neighbours = Neighbours(rows.astype(np.int32), np.zeros((pool, k), dtype=np.float32))
    sampler = ContextSampler(Strategy(strategy, k), neighbours, [str(i) for i in range(pool)], seed=0)
    targets = np.random.default_rng(0).permutation(pool)
    batches = np.split(targets, np.arange(batch, pool, batch))
    seconds, _ = timed(lambda: [sampler.sample(0, part) for part in batches], repeats)
    return pool / seconds


@command
def main(arguments: Sequence[str]) -> None:
    """Measure, and print a line for each number."""
    parser = make_parser(__doc__)
    parser.add_argument("--file", type=Path, help="JSON lines, CSV or Parquet; default: synthetic texts")
    parser.add_argument("--column", default="question", help="the file's column of texts")
    parser.add_argument("--texts", type=int, default=15_667, help="synthetic texts (MTOP English: 15,667)")
    parser.add_argument("--similarity", default="bm25", help="bm25, tfidf, minilm or st:<name>")
    parser.add_argument("--pool", type=int, default=100_000, help="pool that contexts are sampled from")
    parser.add_argument("--k", type=int, default=8, help="demonstrations in a context")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the fastest is reported")
    given = parser.parse_args(arguments)
    texts = synthetic_texts(given.texts)
    if given.file:
        texts = [record.text(given.column) for record in read_records(given.file, [given.column])]
    print(machine())
    for name in STRATEGIES[1:]:  # the first, none, samples nothing
        for batch in (given.pool, 256):
            speed = contexts_per_second(name, given.k, given.pool, batch, given.repeats)
            setting = f"k = {given.k}, pool of {given.pool:,}, batches of {batch:,}"
            print(f"{name}: {speed:,.0f} contexts/s, {setting}", flush=True)
    distinct = len(set(duplicate_groups(texts).tolist()))
    seconds, _ = timed(lambda: pool_neighbours(texts, given.k, given.similarity), given.repeats)
    print(
        f"{given.similarity}: {seconds:.1f} s for the {given.k} neighbours of each of {len(texts):,} "
        f"texts ({distinct:,} distinct), including the index"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
