"""Task `jsonl`: any file of input and output pairs, by column names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ccutils.errors import check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Task, label_key
from ccutils.tasks.files import Record, Report, read_records, require
from ccutils.tasks.hub import is_hub_id, read_hub
from ccutils.tasks.relabel import INVENTED, change_outputs
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import (
    check_sizes,
    common_words,
    draw_task,
    four_sets,
    hold_out,
    is_classification,
    merge_labels,
)

TEXT_METRICS = {"exact": metrics.text_match, "chrf": metrics.chrf, "bleu": metrics.bleu}


def jsonl(
    *,
    seed: int,
    path: str,
    input_column: str = "input",
    output_column: str = "output",
    group_column: str | None = None,
    test_path: str | None = None,
    metric: str = "exact",
    language: str = "en",
    pool_size: int = 1000,
    n_test: int = 200,
    max_new_tokens: int = 64,
) -> Task:
    """Load input and output pairs of a .jsonl, .json, .csv, .tsv or .parquet file, or of a Hub data set.

    The OOD sets are groups drawn at random until they have a fifth of the rows. Groups are those of
    `group_column`; without it each output is a group if outputs repeat (a classification), else the OOD sets
    are empty. Tests come from `test_path` if given, else they are a fifth of the rows. `metric` is one of
    TEXT_METRICS; `language` that of the inputs, for paraphrases. Raises InputError for unknown options and
    unreadable files.
    """
    check_sizes(pool_size=pool_size, n_test=n_test, max_new_tokens=max_new_tokens)
    check_choices(metric=(metric, TEXT_METRICS))
    report = Report()
    columns = (input_column, output_column, *([group_column] if group_column else []))
    make = partial(_example, columns=columns)
    rows = report.examples(_read(path, "train", columns), make)
    tests = report.examples(_read(test_path, "test", columns), make) if test_path else []
    report.warn()
    report.check([*rows, *tests], path)
    spelling = merge_labels([e.output for e in [*rows, *tests]])
    rows, tests, rule = _group(rows, tests, group_column, spelling)
    fixed, rng = np.random.default_rng(0), np.random.default_rng([seed, Stream.JSONL])
    groups = Counter(e.group for e in [*rows, *tests])
    held = hold_out(groups, 0.2, fixed, cause=report.cause()) if rule else set()
    split = f"OOD: groups {rule}, {len(held)} of {len(groups)} held out" if rule else "no OOD sets: no groups"
    drawn = draw_task(
        "jsonl",
        *four_sets(rows, tests, held, fixed),
        report,
        sizes={"pool": pool_size, "id_test": n_test, "ood_test": n_test},
        fixed=fixed,
        rng=rng,
        facts={"seed": seed, "source": path, "split_rule": split},
        advice=f"give {path} more rows with inputs of their own",
        needed=("pool", "id_test"),
    )
    score = metrics.of_outputs(TEXT_METRICS[metric])
    return Task(
        **drawn,
        score=score,
        wrong=wrong_by(score),
        change_labels=change_outputs(drawn["pool"], drawn["ood_pool"]),
        relevant=lambda target, e: label_key(target.output) == label_key(e.output),
        language=language,
        vocabulary=[*INVENTED, *common_words(t for e in [*rows, *tests] for t in (e.output, e.input))],
        max_new_tokens=max_new_tokens,
    )


def _read(path: str, split: str, columns: Sequence[str]) -> list[Record]:
    if not is_hub_id(path):
        return read_records(Path(path), columns)
    records = read_hub(path, split)
    require(records, columns, path)
    return records


def _example(record: Record, columns: Sequence[str]) -> Example | str:
    """Make an example of (input, output, group) columns, or say why there is none."""
    texts = [*map(record.text, columns), ""]
    return record.fault(*columns) or Example(texts[0], texts[1], texts[2])


def _group(
    rows: list[Example], tests: list[Example], column: str | None, spelling: Mapping[str, str]
) -> tuple[list[Example], list[Example], str]:
    """Group rows by the column, else by output where outputs repeat; also return the rule in words."""
    every = [*rows, *tests]
    if column is not None:
        names = merge_labels([e.group for e in every])
        grouped, rule = [replace(e, group=names[e.group]) for e in every], f"by column {column!r}"
    elif is_classification(set(spelling.values()), len(every)):
        grouped, rule = [replace(e, group=spelling[e.output]) for e in every], "of equal output"
    else:
        grouped, rule = every, ""
    return grouped[: len(rows)], grouped[len(rows) :], rule
