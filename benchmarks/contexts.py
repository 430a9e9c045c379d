"""How fast contexts are drawn and neighbours found, on a JSON lines file or on made-up text of MTOP's size.

python benchmarks/contexts.py
python benchmarks/contexts.py --file ../shared/data/mtop_en/train.jsonl --column question
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.contexts.neighbours import Neighbours, duplicate_groups, pool_neighbours
from ccutils.contexts.sampler import STRATEGIES, ContextSampler, Strategy
from ccutils.errors import InputError
from ccutils.tasks.files import read_records


def made_up_texts(n: int, seed: int = 0) -> list[str]:
    """Texts of 3 to 12 words out of 8,000 under Zipf's law, about as utterances to an assistant are."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, 8001)
    lengths = rng.integers(3, 13, size=n)
    drawn = rng.choice(8000, size=lengths.sum(), p=weights / weights.sum())
    return [" ".join(f"w{i}" for i in part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def read_texts(path: Path, column: str) -> list[str]:
    """One column of a file."""
    return [record.text(column) for record in read_records(path, [column])]


def fastest(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of the fastest of some runs, by a clock."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def contexts_per_second(strategy: str, k: int, pool: int, batch: int, repeats: int) -> float:
    """Contexts drawn each second for every target of a pool, asked for in batches."""
    rows = (np.arange(pool)[:, None] + np.arange(1, k + 1)) % pool
    neighbours = Neighbours(rows.astype(np.int32), np.zeros((pool, k), dtype=np.float32))
    sampler = ContextSampler(Strategy(strategy, k), neighbours, [str(i) for i in range(pool)], seed=0)
    targets = np.random.default_rng(0).permutation(pool)
    batches = np.split(targets, np.arange(batch, pool, batch))

    def work() -> None:
        for part in batches:
            sampler.sample(0, part)

    return pool / fastest(work, repeats)


def machine() -> str:
    """The processor, and the versions that matter."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "faiss-cpu"))
    return f"{names[0] if names else platform.processor()}; Python {platform.python_version()}, {libraries}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, help="JSON lines, CSV or Parquet; made-up text if not given")
    parser.add_argument("--column", default="question", help="the column of the file that holds the texts")
    parser.add_argument("--texts", type=int, default=15_667, help="made-up texts (MTOP English: 15,667)")
    parser.add_argument("--similarity", default="bm25", help="bm25, tfidf or st:<name>")
    parser.add_argument("--pool", type=int, default=100_000, help="pool that contexts are drawn from")
    parser.add_argument("--k", type=int, default=8, help="demonstrations in a context")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the fastest counts")
    given = parser.parse_args(arguments)
    try:
        texts = read_texts(given.file, given.column) if given.file else made_up_texts(given.texts)
        print(machine())
        for name in STRATEGIES[1:]:  # all but none, which draws nothing
            for batch in (given.pool, 256):
                speed = contexts_per_second(name, given.k, given.pool, batch, given.repeats)
                setting = f"k = {given.k}, pool of {given.pool:,}, batches of {batch:,}"
                print(f"{name}: {speed:,.0f} contexts/s, {setting}")
        distinct = len(set(duplicate_groups(texts).tolist()))
        seconds = fastest(lambda: pool_neighbours(texts, given.k, given.similarity), given.repeats)
        print(
            f"{given.similarity}: {seconds:.1f} s for the {given.k} neighbours of each of {len(texts):,} "
            f"texts ({distinct:,} distinct), index included"
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
