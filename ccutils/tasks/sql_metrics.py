"""Score SQL by its result, as BIRD or Spider does, or by its text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlglot
from sqlglot import exp

from ccutils.errors import check_choices
from ccutils.tasks.metrics import Scores
from ccutils.tasks.sql import Limits, Outcome, Query, Value, execute_queries

SEMANTICS = {
    "bird": "equal sets of rows: row order and repeated rows do not count, column order does",
    "spider": "equal bags of rows, equal lists where the gold query orders its result; columns in any order",
}
"""How results are compared. In both, as in the benchmarks' own scripts, NULL equals NULL alone, 1 equals 1.0,
text never equals a number, and letter case counts. Floats are equal to 9 significant digits (or to the
whole number, where that has more), since the order of a sum changes the last ones; the official scripts
compare them exactly. Spider's official script takes any ORDER BY in the gold query as an order and drops
DISTINCT; here only the outermost ORDER BY counts, and DISTINCT stays."""

Table = tuple[tuple[Value, ...], ...]
DIGITS = 9
MOST_CELLS = 10_000_000  # compared in trying column orders, before two results count as different
LIMITS = Limits()
GOLD_LIMITS = Limits(seconds=30.0, megabytes=1024)
"""For gold queries that LIMITS stop, and for answers to their questions: hard questions must stay."""
LONGEST_SQL = 20_000  # characters of SQL that are parsed; a longer answer is wrong


@dataclass(frozen=True, slots=True)
class Gold:
    """What a gold query returns, and the limits under which it did."""

    outcome: Outcome
    limits: Limits


def run_golds(queries: Sequence[Query]) -> list[Gold]:
    """Run gold queries under LIMITS, and those that are stopped again under GOLD_LIMITS."""
    outcomes = execute_queries(queries, LIMITS, progress="gold queries")
    late = [i for i, outcome in enumerate(outcomes) if outcome.rows is None and stopped(outcome)]
    again = execute_queries([queries[i] for i in late], GOLD_LIMITS, progress="slow gold queries")
    golds = [Gold(outcome, LIMITS) for outcome in outcomes]
    for i, outcome in zip(late, again, strict=True):
        golds[i] = Gold(outcome, GOLD_LIMITS)
    return golds


def stopped(outcome: Outcome) -> bool:
    """Check whether a limit, or the death of its process, ended the query, rather than an error in it."""
    return "limit:" in outcome.error or "process died" in outcome.error or "memory" in outcome.error.lower()


def execution_match(
    answers: Sequence[str],
    golds: Sequence[str],
    databases: Sequence[Path],
    *,
    semantics: str = "bird",
    known: Mapping[Query, Gold] | None = None,
) -> Scores:
    """Score 1 if the answer returns what the gold query returns; NaN if the gold query does not run.

    Answers run in the sandbox of `ccutils.tasks.sql`, under the limits that their gold query needed; `known`
    are results of gold queries that ran before. Raises InputError for unknown semantics or a missing
    database.
    """
    check_choices(semantics=(semantics, SEMANTICS))
    wanted = dict(known or {})
    cases = list(zip(databases, golds, strict=True))
    new = [case for case in dict.fromkeys(cases) if case not in wanted]
    wanted |= zip(new, run_golds(new), strict=True)
    given = list(zip(databases, answers, strict=True))
    outcomes: dict[tuple[Query, Limits], Outcome] = {}
    for limits in (LIMITS, GOLD_LIMITS):
        # An answer that is the gold query need not run: it could only fail by the clock.
        asked = [
            a for a, case in zip(given, cases, strict=True) if a != case and wanted[case].limits == limits
        ]
        asked = list(dict.fromkeys(asked))
        outcomes |= zip(((a, limits) for a in asked), execute_queries(asked, limits), strict=True)
    scores = []
    for answer, case in zip(given, cases, strict=True):
        gold = wanted[case]
        outcome = gold.outcome if answer == case else outcomes[answer, gold.limits]
        scores.append(judge_outcome(outcome, gold.outcome, case[1], semantics))
    return np.array(scores, dtype=np.float64)


def judge_outcome(answer: Outcome, gold: Outcome, sql: str, semantics: str) -> float:
    """Score one outcome; `sql` is the gold query."""
    if gold.rows is None:
        return float("nan")
    if answer.rows is None:
        return 0.0
    if semantics == "bird":
        return float(set(rounded(answer.rows)) == set(rounded(gold.rows)))
    return float(same_columns(rounded(answer.rows), rounded(gold.rows), ordered(sql)))


def rounded(rows: Table) -> Table:
    """Round floats to DIGITS significant digits; whole numbers are not rounded: they must equal integers."""

    def one(value: Value) -> Value:
        if not isinstance(value, float):
            return value
        return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else round(value, 0)

    return tuple(tuple(map(one, row)) for row in rows)


def ordered(sql: str) -> bool:
    """Check whether a query orders its result: ORDER BY in its outermost part."""
    tree = tree_of(sql)
    if tree is None:  # SQLite runs some SQL that sqlglot cannot read: the benchmark's own rule then
        return "order by" in " ".join(sql.lower().split())
    return tree.args.get("order") is not None


def same_columns(given: Table, wanted: Table, in_order: bool) -> bool:
    """Check whether some column order makes `given` equal to `wanted`, as lists or else as bags of rows."""
    if len(given) != len(wanted):
        return False
    if not wanted:
        return True
    width = len(wanted[0])
    if len(given[0]) != width:
        return False

    def key(columns: Sequence[tuple[Value, ...]]) -> object:
        rows = list(zip(*columns, strict=True))
        return rows if in_order else Counter(rows)

    have, want = list(zip(*given, strict=True)), list(zip(*wanted, strict=True))
    seen = 0

    def place(chosen: list[int]) -> bool:
        """Extend a choice of given columns that agrees with the first wanted ones."""
        nonlocal seen
        if len(chosen) == width:
            return True
        goal = key(want[: len(chosen) + 1])
        for column in range(width):
            if column in chosen:
                continue
            seen += len(wanted) * (len(chosen) + 1)
            if seen > MOST_CELLS:
                return False
            if key([have[i] for i in (*chosen, column)]) == goal and place([*chosen, column]):
                return True
        return False

    return place([])


def sql_text_match(answers: Sequence[str], golds: Sequence[str]) -> Scores:
    """Score 1 if both texts are equal, by sqlglot: letter case of names and keywords, quotes of names, white
    space, comments and the last semicolon do not count; aliases, the order of conditions and literals do.
    """
    pairs = zip(answers, golds, strict=True)
    return np.array([float((a := canonical(x)) is not None and a == canonical(y)) for x, y in pairs])


def canonical(sql: str) -> str | None:
    """Rewrite a query in a canonical form; None if it is not one query.

    >>> canonical('select "Name" from City ;') == canonical("SELECT name  FROM city")
    True
    """
    tree = tree_of(sql)
    if tree is None:
        return None
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.this.lower())
        name.set("quoted", False)
    try:
        return tree.sql(dialect="sqlite", comments=False)
    except RecursionError:
        return None


def tree_of(sql: str) -> exp.Query | None:
    """Parse one query; None if sqlglot cannot. Answers may be any text."""
    if len(sql) > LONGEST_SQL:
        return None
    try:
        tree = sqlglot.parse_one(sql.rstrip("; \t\r\n"), read="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    return tree if isinstance(tree, exp.Query) else None
