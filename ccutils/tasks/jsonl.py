"""Any file of input and output pairs, by column names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ccutils.errors import check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Task, Template, label_key
from ccutils.tasks.files import Record, Report, read_records, require
from ccutils.tasks.hub import is_hub_id, read_hub
from ccutils.tasks.relabel import INVENTED, change_as_familiar, change_output
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import (
    check_filled,
    check_sizes,
    common_words,
    four_sets,
    hold_out,
    is_classification,
    merge_labels,
    take,
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

    With `group_column`, groups drawn at random until they hold a fifth of the rows make the OOD sets; without
    it, each output is a group where outputs repeat (a classification), else the OOD sets are empty. Tests
    come from `test_path` where given, else a fifth of the rows is set apart. `metric` is one of METRICS;
    `language` that of the inputs, for paraphrases. Raises InputError for unknown options and unreadable
    files.
    """
    check_sizes(pool_size=pool_size, n_test=n_test, max_new_tokens=max_new_tokens)
    check_choices(metric=(metric, TEXT_METRICS))
    report = Report()
    columns = (input_column, output_column, *([group_column] if group_column else []))
    rows = _examples(_read(path, "train", columns), columns, report)
    tests = _examples(_read(test_path, "test", columns), columns, report) if test_path else []
    report.warn("")
    report.check([*rows, *tests], path)
    spelling = merge_labels([e.output for e in [*rows, *tests]])
    rows, tests, rule = _group(rows, tests, group_column, spelling)
    fixed, rng = np.random.default_rng(0), np.random.default_rng([seed, Stream.JSONL])
    groups = Counter(e.group for e in [*rows, *tests])
    held = hold_out(groups, 0.2, fixed, cause=report.cause()) if rule else set()
    sets, dropped = four_sets(rows, tests, held, fixed)
    pool = take(sets["pool"], pool_size, rng)
    ood_pool = take(sets["ood_pool"], len(sets["ood_pool"]), rng)

    score = metrics.of_outputs(TEXT_METRICS[metric])
    task = Task(
        name="jsonl",
        pool=pool,
        id_test=take(sets["id_test"], n_test, fixed),
        ood_test=take(sets["ood_test"], n_test, fixed),
        ood_pool=ood_pool,
        score=score,
        change_labels=change_as_familiar(pool, ood_pool, change_output),
        relevant=lambda target, e: label_key(target.output) == label_key(e.output),
        language=language,
        wrong=wrong_by(score),
        vocabulary=[*INVENTED, *common_words(t for e in [*rows, *tests] for t in (e.output, e.input))],
        template=Template(),
        max_new_tokens=max_new_tokens,
        facts={
            "seed": seed,
            "source": path,
            "split_rule": (
                f"OOD: groups {rule}, {len(held)} of {len(groups)} held out"
                if rule
                else "no OOD sets: no groups"
            ),
            **report.facts(),
            **dropped,
        },
    )
    filled = {"pool": task.pool, "id_test": task.id_test}
    check_filled(
        "jsonl",
        filled,
        dropped=dropped,
        advice=f"give {path} more rows with inputs of their own",
        cause=report.cause(),
    )
    return task


def _read(path: str, split: str, columns: Sequence[str]) -> list[Record]:
    if not is_hub_id(path):
        return read_records(Path(path), columns)
    records = read_hub(path, split)
    require(records, columns, path)
    return records


def _examples(records: Sequence[Record], columns: Sequence[str], report: Report) -> list[Example]:
    """Return rows as examples; a row with an empty or non-text value is set aside."""
    examples = []
    report.read += len(records)
    for record in records:
        why = record.fault(*columns)
        if why:
            report.set_aside(record, why)
        else:
            values = [record.text(column) for column in columns]
            examples.append(Example(values[0], values[1], values[2] if len(values) > 2 else ""))
    return examples


def _group(
    rows: list[Example], tests: list[Example], column: str | None, spelling: Mapping[str, str]
) -> tuple[list[Example], list[Example], str]:
    """Group rows by the column, else by output where outputs repeat; also return the rule in words."""
    every = [*rows, *tests]
    if column is not None:
        groups = merge_labels([e.group for e in every])
        by_column = ([replace(e, group=groups[e.group]) for e in part] for part in (rows, tests))
        return *by_column, f"by column {column!r}"  # type: ignore[return-value]
    if is_classification(set(spelling.values()), len(every)):
        by_output = ([replace(e, group=spelling[e.output]) for e in part] for part in (rows, tests))
        return *by_output, "of equal output"  # type: ignore[return-value]
    return rows, tests, ""
