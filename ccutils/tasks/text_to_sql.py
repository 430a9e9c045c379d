"""Task `text_to_sql`: a question to a query on its database, from BIRD, Spider or GeoQuery."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ccutils.errors import InputError, check_choices
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Score, Task, Template
from ccutils.tasks.databases import describe, find_databases
from ccutils.tasks.files import Record, Report, here, is_file_name, read_records, require, unusable
from ccutils.tasks.hub import hub_splits, is_hub_id, read_hub
from ccutils.tasks.metrics import Scores
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import check_share, check_sizes, common_words, draw_task, four_sets, hold_out
from ccutils.tasks.sql import Query
from ccutils.tasks.sql_metrics import SEMANTICS, Gold, execution_match, run_golds, sql_text_match
from ccutils.tasks.sql_names import all_labels, change_name, names_used, relevant, template, undo

FILES = {
    "train": ("train.jsonl", "train.json", "train_spider.json", "train/train.json"),
    "dev": ("dev.jsonl", "dev.json", "dev*/dev.json", "mini_dev_sqlite.json"),
}
"""Files of rows in the folders of GeoQuery, BIRD and Spider."""
FILE_SPLITS = {"train": ("train",), "dev": ("dev", "validation", "test", "mini_dev_sqlite")}
"""Their names in Hub copies."""
SQL_COLUMNS = ("SQL", "query", "sql")
SQL_INSTRUCTION = "Write an SQLite query that answers each question.\n\n"
ONE_DATABASE = Template(instruction=SQL_INSTRUCTION, question="Question: {input}{hint}\nSQL:")
MANY_DATABASES = replace(ONE_DATABASE, question="Database: {schema}\nQuestion: {input}{hint}\nSQL:")
KEPT_CELLS = 10_000  # of a gold query's result; larger ones are run again when they are needed


def text_to_sql(
    *,
    seed: int,
    path: str,
    databases: str | None = None,
    schema: str = "names",
    metric: str = "execution",
    semantics: str = "bird",
    ood_share: float = 0.2,
    pool_size: int = 1000,
    n_test: int = 300,
    max_new_tokens: int = 256,
) -> Task:
    """Load questions to SQL from a folder of BIRD, Spider or GeoQuery, from one file, or from a Hub id.

    `databases` is the folder of <db_id>.sqlite files, searched recursively; by default `path`. `schema` in
    prompts: "names" of tables and columns, "ddl", or "none". `metric` is "execution" (see `semantics`) or
    "exact". OOD are whole databases: those that only dev rows use, else drawn at random until they have
    `ood_share` of the rows; with a single database, query templates so drawn. Gold queries that do not run
    are set aside. Raises InputError for unknown options and unreadable data.
    """
    check_sizes(pool_size=pool_size, n_test=n_test, max_new_tokens=max_new_tokens)
    check_choices(
        schema=(schema, ["names", "ddl", "none"]),
        metric=(metric, ["execution", "exact"]),
        semantics=(semantics, SEMANTICS),
    )
    check_share(ood_share=ood_share)
    report = Report()
    files = find_databases(databases if databases is not None else path)
    train, dev = read_queries(path)
    described, unread = describe({record.text("db_id") for record in [*train, *dev]}, files, schema)
    make = partial(query_example, files=files, described=described, unread=unread)
    rows, tests = report.examples(train, make), report.examples(dev, make)
    every = [*rows, *tests]
    if not every:
        report.warn()
    report.check(every, path)
    single = len({e.extra["db_id"] for e in every}) == 1
    if single:
        rows, tests = ([replace(e, group=e.extra["template"]) for e in part] for part in (rows, tests))
    fixed, rng = np.random.default_rng(0), np.random.default_rng([seed, Stream.TEXT_TO_SQL])
    groups = Counter(e.group for e in [*rows, *tests])
    new = {e.group for e in tests} - {e.group for e in rows} if rows and not single else set()
    held = new or hold_out(groups, ood_share, fixed, cause=report.cause())
    golds: dict[Query, Gold] = {}
    # The same words to two databases are two questions.
    sets, dropped = four_sets(rows, tests, held, fixed, place=lambda e: e.extra["db_id"])
    drawn = draw_task(
        "text_to_sql",
        sets,
        dropped,
        report,
        sizes={"pool": pool_size, "ood_pool": pool_size, "id_test": n_test, "ood_test": n_test},
        fixed=fixed,
        rng=rng,
        facts={
            "seed": seed,
            "source": path,
            "split_rule": f"OOD: {len(held)} of {len(groups)} {'templates' if single else 'databases'}"
            + (", those without train rows" if new else ", drawn at random"),
            "semantics": f"{semantics}: {SEMANTICS[semantics]}",
        },
        advice=f"give {path} more rows, or another ood_share",
        draw=lambda some, size, rng: take_running(some, size, rng, report, golds),
    )
    report.warn()
    score = make_sql_score(metric, semantics, golds)
    question = MANY_DATABASES if schema != "none" else ONE_DATABASE
    if single and schema != "none":
        only = next(iter(described.values()))[0]
        question = replace(ONE_DATABASE, instruction=f"{SQL_INSTRUCTION}Database: {only}\n\n")
    return Task(
        **drawn,
        score=score,
        wrong=wrong_by(score),
        change_labels=change_name,
        relevant=relevant,
        map_labels=None,
        template=question,
        max_new_tokens=max_new_tokens,
        vocabulary=[*all_labels(every), *common_words(e.input for e in every)],
    )


def read_queries(path: str) -> tuple[list[Record], list[Record]]:
    """Read train and dev rows; one of them may be missing, and a single file is all train."""
    if is_hub_id(path):
        splits = hub_splits(path)  # many copies have but one
        chosen = [next((s for s in names if s in splits), None) for names in FILE_SPLITS.values()]
        parts = [read_hub(path, split) if split else [] for split in chosen]
    elif here(path).is_file() or is_file_name(path):
        parts = [read_records(Path(path)), []]
    else:
        found = [[f for name in names for f in sorted(here(path).glob(name))] for names in FILES.values()]
        parts = [read_records(files[0]) if files else [] for files in found]
    if not any(parts):
        known = FILE_SPLITS if is_hub_id(path) else FILES
        wanted = ", ".join(name for names in known.values() for name in names)
        raise InputError(f"path {path!r} has none of {wanted}: give such a folder, a file or a Hub id.")
    every = [record for part in parts for record in part]
    require(every, ["question", "db_id"], path)
    if not any(record.text(*SQL_COLUMNS) for record in every):
        raise InputError(f"{path} has no column with SQL: it must be named one of {', '.join(SQL_COLUMNS)}.")
    return parts[0], parts[1]


def query_example(
    record: Record,
    files: Mapping[str, Path],
    described: Mapping[str, tuple[str, frozenset[str]]],
    unread: Mapping[str, str],
) -> Example | str:
    """Make an example of a row with question, SQL and database, or say why there is none."""
    question, sql, db_id = (record.text(*c) for c in (("question",), SQL_COLUMNS, ("db_id",)))
    if not question or not sql:
        return "no question" if sql else "no SQL"
    if unusable(sql):  # sqlglot raises for it
        return unusable(sql)
    if "--" in sql and any("\n" in str(record.values.get(c)) for c in SQL_COLUMNS):
        return "SQL with a comment on one of several lines"
    if db_id not in described:
        return f"db_id {db_id!r} {unread[db_id]}" if db_id else "no db_id"
    schema, names = described[db_id]
    evidence = record.text("evidence")
    extra = {
        "db_id": db_id,
        "database": str(files[db_id]),
        "schema": schema,
        "hint": f"\nHint: {evidence}" if evidence else "",
        "template": template(sql, names),
        "names": "\n".join(sorted(names_used(sql, names))),
        "place": record.place,
    }
    return Example(question, sql, db_id, extra)


def take_running(
    rows: Sequence[Example],
    size: int,
    rng: np.random.Generator,
    report: Report,
    golds: dict[Query, Gold],
) -> list[Example]:
    """Take `size` examples (or all) in random order whose gold query runs; set the others aside.

    Only as many as needed are run: BIRD's can take minutes. Their results are added to `golds` unless they
    are large.
    """
    order, taken, at = rng.permutation(len(rows)), list[Example](), 0
    while at < len(order) and len(taken) < size:
        batch = [rows[i] for i in order[at : at + size - len(taken)]]
        at += len(batch)
        queries = [(Path(e.extra["database"]), e.output) for e in batch]
        for e, query, gold in zip(batch, queries, run_golds(queries), strict=True):
            found = gold.outcome.rows
            if found is None:
                report.aside.append((f"gold SQL does not run ({gold.outcome.error})", e.extra["place"]))
                continue
            taken.append(e)
            if sum(map(len, found)) <= KEPT_CELLS:
                golds[query] = gold
    return taken


def make_sql_score(metric: str, semantics: str, golds: Mapping[Query, Gold] | None = None) -> Score:
    """Make the task's score. An answer follows a changed label (see `change_name`) if it renames the same
    names and, with the renaming undone, is as good as the gold query.

    No answer is executed twice: checkpoints and the Copy-score ask for the same ones many times, and each
    call would start processes.
    """
    scored: dict[tuple[Path, str, str], float] = {}

    def score(answers: Sequence[str], rows: Sequence[Example]) -> Scores:
        given, wanted = [undo(sql) for sql in answers], [undo(e.output) for e in rows]
        same_names = np.array([g[1] == w[1] for g, w in zip(given, wanted, strict=True)], dtype=np.float64)
        answer_sql, gold_sql = [sql for sql, _ in given], [sql for sql, _ in wanted]
        if metric == "exact":
            return same_names * sql_text_match(answer_sql, gold_sql)
        cases = list(zip((Path(e.extra["database"]) for e in rows), answer_sql, gold_sql, strict=True))
        new = list(dict.fromkeys(case for case in cases if case not in scored))
        if new:
            databases, sql, gold = zip(*new, strict=True)
            found = execution_match(sql, gold, databases, semantics=semantics, known=golds)
            scored.update(zip(new, found.tolist(), strict=True))
        return same_names * np.array([scored[case] for case in cases], dtype=np.float64)

    return score
