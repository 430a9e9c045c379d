"""Text-to-SQL: a question to a query on its database; BIRD, Spider and GeoQuery in their own formats."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ccutils.errors import InputError
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Score, Task, Template
from ccutils.tasks.files import (
    SUFFIXES,
    Record,
    Report,
    check_filled,
    check_sizes,
    common_words,
    divide,
    hold_out,
    keep_apart,
    read_records,
    require,
)
from ccutils.tasks.hub import hub_splits, is_hub_id, read_hub
from ccutils.tasks.metrics import Scores
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.sql import Limits, Outcome, execute_queries
from ccutils.tasks.sql_metrics import SEMANTICS, execution_match, sql_text_match
from ccutils.tasks.sql_names import (
    all_labels,
    change_name,
    names_used,
    relevant,
    spaced,
    template,
    undo,
    unspaced,
)

FILES = {
    "train": ("train.jsonl", "train.json", "train_spider.json", "train/train.json"),
    "dev": ("dev.jsonl", "dev.json", "dev*/dev.json", "mini_dev_sqlite.json"),
}
"""Where GeoQuery's, BIRD's and Spider's own folders hold their rows."""
SPLITS = {"train": ("train",), "dev": ("dev", "validation", "test", "mini_dev_sqlite")}
"""How Hub copies name them."""
SQL_COLUMNS = ("SQL", "query", "sql")
SQL_INSTRUCTION = "Write an SQLite query that answers each question.\n\n"
ONE_DATABASE = Template(instruction=SQL_INSTRUCTION, question="Question: {input}{hint}\nSQL:")
MANY_DATABASES = replace(ONE_DATABASE, question="Database: {schema}\nQuestion: {input}{hint}\nSQL:")
TABLES = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
GOLD_LIMITS = Limits(seconds=30.0, megabytes=1024)


def text_to_sql(
    *,
    seed: int,
    path: str,
    databases: str | None = None,
    schema: str = "names",
    metric: str = "execution",
    semantics: str = "bird",
    spaces: bool = False,
    ood_share: float = 0.2,
    pool_size: int = 1000,
    n_test: int = 300,
    max_new_tokens: int = 256,
) -> Task:
    """Questions to SQL, from a folder as BIRD, Spider or GeoQuery comes, from one file, or from a Hub id.

    `databases` is the folder (searched below, too) of <db_id>.sqlite files; by default `path`. `schema` in
    prompts: "names" of tables and columns, "ddl", or "none". `metric` is "execution" (see `semantics`) or
    "exact". `spaces` writes SQL with spaces between all tokens, for tokenizers of whole words (the tiny
    base's). OOD are whole databases: those of the dev rows alone, else drawn at random until they hold
    `ood_share` of the rows; with a single database, query templates so drawn. Gold queries that do not run
    are set aside. Raises InputError for unknown options and unreadable data.
    """
    check_sizes(pool_size=pool_size, n_test=n_test, max_new_tokens=max_new_tokens)
    for option, value, known in (
        ("schema", schema, ["names", "ddl", "none"]),
        ("metric", metric, ["execution", "exact"]),
        ("semantics", semantics, list(SEMANTICS)),
    ):
        if value not in known:
            raise InputError(f"{option} is {value!r}: choose one of {', '.join(known)}.")
    if not 0 < ood_share < 1:
        raise InputError(f"ood_share is {ood_share}: it must lie between 0 and 1.")
    report = Report()
    files = find_databases(databases if databases is not None else path)
    train, dev = read_queries(path)
    described = describe({record.text("db_id") for record in [*train, *dev]}, files, schema)
    rows, tests = (query_examples(part, files, described, report) for part in (train, dev))
    single = len({e.extra["db_id"] for e in [*rows, *tests]}) == 1
    if single:
        rows, tests = ([replace(e, group=e.extra["template"]) for e in part] for part in (rows, tests))
    fixed, rng = np.random.default_rng(0), np.random.default_rng([seed, Stream.TEXT_TO_SQL])
    groups = Counter(e.group for e in [*rows, *tests])
    new = {e.group for e in tests} - {e.group for e in rows} if rows and not single else set()
    held = new or hold_out(groups, ood_share, fixed)
    id_test, id_pool = divide(
        [e for e in rows if e.group not in held], [e for e in tests if e.group not in held], fixed
    )
    ood_test, ood_pool = divide(
        [e for e in rows if e.group in held], [e for e in tests if e.group in held], fixed
    )
    sets, dropped = keep_apart(
        {"id_test": id_test, "ood_test": ood_test, "ood_pool": ood_pool, "pool": id_pool}
    )
    draws = {"id_test": (n_test, fixed), "ood_test": (n_test, fixed), "pool": (pool_size, rng)}
    draws["ood_pool"] = (pool_size, rng)
    drawn = {name: take_running(sets[name], size, at, report) for name, (size, at) in draws.items()}
    report.warn("")
    check_filled("text_to_sql", drawn, dropped, f"give {path} more rows, or another ood_share")
    if spaces:
        drawn = {name: [replace(e, output=spaced(e.output)) for e in part] for name, part in drawn.items()}
    score = make_sql_score(metric, semantics, spaces)
    said = [replace(e, output=spaced(e.output)) if spaces else e for e in [*rows, *tests]]
    question = MANY_DATABASES if schema != "none" else ONE_DATABASE
    if single and schema != "none":
        only = next(iter(described.values()))[0]
        question = replace(ONE_DATABASE, instruction=f"{SQL_INSTRUCTION}Database: {only}\n\n")
    return Task(
        name="text_to_sql",
        pool=drawn["pool"],
        id_test=drawn["id_test"],
        ood_test=drawn["ood_test"],
        ood_pool=drawn["ood_pool"],
        score=score,
        wrong=wrong_by(score),
        change_labels=change_name,
        relevant=relevant,
        template=question,
        max_new_tokens=max_new_tokens,
        vocabulary=[*all_labels(said), *common_words(e.input for e in said)],
        facts={
            "seed": seed,
            "source": path,
            "split_rule": f"OOD: {len(held)} of {len(groups)} {'templates' if single else 'databases'}"
            + (", those without train rows" if new else ", drawn at random"),
            "semantics": f"{semantics}: {SEMANTICS[semantics]}",
            **report.facts(),
            **dropped,
        },
    )


def read_queries(path: str) -> tuple[list[Record], list[Record]]:
    """Train and dev rows; one of them may be missing, and a single file is all train."""
    if is_hub_id(path):
        splits = hub_splits(path)  # many copies have but one
        chosen = [next((s for s in names if s in splits), None) for names in SPLITS.values()]
        parts = [read_hub(path, split) if split else [] for split in chosen]
    elif Path(path).is_file() or Path(path).suffix in SUFFIXES:
        parts = [read_records(Path(path)), []]
    else:
        found = [[f for name in names for f in sorted(Path(path).glob(name))] for names in FILES.values()]
        parts = [read_records(files[0]) if files else [] for files in found]
    if not any(parts):
        known = SPLITS if is_hub_id(path) else FILES
        wanted = ", ".join(name for names in known.values() for name in names)
        raise InputError(f"path {path!r} holds none of {wanted}: give such a folder, a file or a Hub id.")
    every = [record for part in parts for record in part]
    require(every, ["question", "db_id"], path)
    if not any(record.text(*SQL_COLUMNS) for record in every):
        raise InputError(f"{path} has no column with SQL: it must be named one of {', '.join(SQL_COLUMNS)}.")
    return parts[0], parts[1]


def find_databases(folder: str) -> dict[str, Path]:
    """Database files below a folder by db_id, the file's name without its ending."""
    if is_hub_id(folder):
        raise InputError(f"databases folder {folder!r} does not exist: Hub data sets come without them.")
    root = Path(folder) if Path(folder).is_dir() else Path(folder).parent
    if not root.is_dir():
        raise InputError(f"databases folder {str(root)!r} does not exist: check the path.")
    paths = sorted(p for ending in ("sqlite", "sqlite3", "db") for p in root.rglob(f"*.{ending}"))
    found = {p.stem: p for p in reversed(paths) if not p.name.startswith(".")}
    if not found:
        raise InputError(f"databases folder {folder!r} holds no .sqlite file: give the folder that does.")
    return found


def describe(db_ids: set[str], files: dict[str, Path], schema: str) -> dict[str, tuple[str, frozenset[str]]]:
    """For each database that can be read: its schema as prompts show it, and its names in lower case."""
    described = {}
    for db_id in sorted(db_ids & files.keys()):
        try:
            with closing(
                sqlite3.connect(f"file:{quote(str(files[db_id]))}?mode=ro&immutable=1", uri=True)
            ) as c:
                tables = c.execute(TABLES).fetchall()
                columns = {
                    name: [row[1] for row in c.execute("SELECT * FROM pragma_table_info(?)", (name,))]
                    for name, _ in tables
                }
        except sqlite3.DatabaseError:
            continue
        text = {
            "names": "; ".join(f"{table}({', '.join(names)})" for table, names in columns.items()),
            "ddl": " ".join(" ".join(sql.split()) + ";" for _, sql in tables if sql),
            "none": "",
        }[schema]
        names = {n.lower() for table, inside in columns.items() for n in (table, *inside)}
        described[db_id] = (text, frozenset(names))
    return described


def query_examples(
    records: Sequence[Record],
    files: dict[str, Path],
    described: dict[str, tuple[str, frozenset[str]]],
    report: Report,
) -> list[Example]:
    """Rows as examples; those without question, SQL or database are set aside."""
    made = []
    report.read += len(records)
    for record in records:
        question, sql, db_id = (record.text(*c) for c in (("question",), SQL_COLUMNS, ("db_id",)))
        if not question or not sql:
            report.set_aside(record, "no question" if sql else "no SQL")
        elif "--" in sql and any("\n" in str(record.values.get(c)) for c in SQL_COLUMNS):
            report.set_aside(record, "SQL with a comment on one of several lines")
        elif db_id not in described:
            why = "cannot be read" if db_id in files else "is not among the databases"
            report.set_aside(record, f"db_id {db_id!r} {why}")
        else:
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
            made.append(Example(question, sql, db_id, extra))
    return made


def run_gold(rows: Sequence[Example]) -> list[Outcome]:
    """What each example's own query returns."""
    return execute_queries(
        [(Path(e.extra["database"]), e.output) for e in rows], GOLD_LIMITS, progress="gold queries"
    )


def take_running(
    rows: Sequence[Example], size: int, rng: np.random.Generator, report: Report
) -> list[Example]:
    """`size` examples in random order (or all) whose gold query runs; the report is told of the others.

    Queries run only as far as they are needed: those of BIRD can take minutes.
    """
    order, taken, at = rng.permutation(len(rows)), list[Example](), 0
    while at < len(order) and len(taken) < size:
        batch = [rows[i] for i in order[at : at + size - len(taken)]]
        at += len(batch)
        for e, outcome in zip(batch, run_gold(batch), strict=True):
            if outcome.rows is None:
                report.set_aside(Record({}, e.extra["place"]), f"gold SQL does not run ({outcome.error})")
            else:
                taken.append(e)
    return taken


def make_sql_score(metric: str, semantics: str, spaces: bool = False) -> Score:
    """The task's score. A changed label (see `change_name`) is followed where the answer renames the same
    names and, with the renaming undone, is as good as the gold query.

    An answer once judged by execution is not executed again: checkpoints and the Copy-score ask for the same
    ones many times, and each call would start processes.
    """
    judged: dict[tuple[Path, str, str], float] = {}

    def score(answers: Sequence[str], rows: Sequence[Example]) -> Scores:
        given, wanted = [undo(a) for a in answers], [undo(e.output) for e in rows]
        if spaces:
            given, wanted = ([(unspaced(sql), names) for sql, names in part] for part in (given, wanted))
        same_names = np.array([g[1] == w[1] for g, w in zip(given, wanted, strict=True)], dtype=np.float64)
        answer_sql, gold_sql = [sql for sql, _ in given], [sql for sql, _ in wanted]
        if metric == "exact":
            return same_names * sql_text_match(answer_sql, gold_sql)
        asked = list(zip((Path(e.extra["database"]) for e in rows), answer_sql, gold_sql, strict=True))
        new = list(dict.fromkeys(case for case in asked if case not in judged))
        if new:
            databases, sql, gold = zip(*new, strict=True)
            found = execution_match(sql, gold, databases, semantics)
            judged.update(zip(new, found.tolist(), strict=True))
        return same_names * np.array([judged[case] for case in asked], dtype=np.float64)

    return score
