"""Names in SQL: the tables and columns that a query uses, its template, renaming."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from sqlglot import exp

from ccutils.tasks.base import Example
from ccutils.tasks.relabel import pick_shared
from ccutils.tasks.sql_metrics import tree_of

RENAMED = "_renamed"
"""What a changed label appends to the name of a table or column; no schema has such names."""

TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\w+|[^\w\s]|\s+")


def bare_token(token: str) -> str:
    """Strip the quotes of a name and lower its case; string literals keep their quotes."""
    return token[1:-1].lower() if len(token) > 1 and token[0] in '"`[' else token.lower()


@lru_cache(maxsize=1 << 14)  # a task asks for each of its queries several times, and parsing takes longest
def name_places(sql: str) -> tuple[tuple[int, int, str], ...]:
    """Find names of tables and columns in a query: (start, end, name in lower case), in order.

    By sqlglot's tree: neither keywords, functions and texts nor the query's own aliases count. In SQL that it
    cannot parse, every word and quoted name counts.
    """
    tree = tree_of(sql)
    if tree is None:
        tokens = ((m.start(), m.end(), bare_token(m[0])) for m in TOKEN.finditer(sql))
        return tuple(token for token in tokens if re.match(r"\w", token[2]))
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found = []
    for name in tree.find_all(exp.Identifier):
        parent, text = name.parent, name.this.strip().lower()
        if "start" not in name.meta or not is_name(name, parent) or (text in own and name.arg_key != "this"):
            continue
        if isinstance(parent, exp.Table) and text in own:
            continue
        found.append((name.meta["start"], name.meta["end"] + 1, text))
    return tuple(sorted(found))


def is_name(name: exp.Identifier, parent: exp.Expr | None) -> bool:
    """Check whether an identifier of the tree is a table's or column's name rather than an alias."""
    if isinstance(parent, exp.Column | exp.Table):
        return name.arg_key in ("this", "table") and not sorts_by_alias(name, parent)
    return isinstance(parent, exp.Join | exp.Tuple)  # USING (name)


def sorts_by_alias(name: exp.Identifier, parent: exp.Expr) -> bool:
    """Check whether a bare name in ORDER BY is an alias of the query itself."""
    order = parent.find_ancestor(exp.Order)
    if order is None or parent.args.get("table") or not isinstance(order.parent, exp.Select):
        return False
    aliases = {e.alias.lower() for e in order.parent.expressions if isinstance(e, exp.Alias)}
    return name.this.lower() in aliases


def names_of(e: Example) -> list[str]:
    """List the names of tables and columns in an example's query."""
    return [name for name in e.extra["names"].split("\n") if name]


def names_used(sql: str, known: Collection[str]) -> frozenset[str]:
    """Find the `known` names (in lower case) of tables and columns that a query uses."""
    return frozenset(name for _, _, name in name_places(sql) if name in known)


def template(sql: str, known: Collection[str]) -> str:
    """Replace the literals of a query by `?`: queries of one template differ only in values."""
    blanked = []
    for token in TOKEN.findall(sql.rstrip("; \n")):
        name = bare_token(token)
        literal = token[0] in "'0123456789" or (token[0] == '"' and name not in known)
        if token.strip():
            blanked.append("?" if literal else name)
    return " ".join(blanked)


def rename_table(sql: str, name: str) -> str:
    """Rename `name` (in lower case) in a query wherever it is used as a name."""
    for start, end, found in reversed(name_places(sql)):
        if found == name:
            quote = sql[start] in '"`['
            inside = sql[start : end - 1].rstrip() if quote else sql[start:end]
            sql = sql[:start] + inside + RENAMED + sql[start + len(inside) :]
    return sql


def all_labels(rows: Iterable[Example]) -> list[str]:
    """List every query, and it with each of its names renamed, as in a changed label."""
    made = {(e.output, name) for e in rows for name in names_of(e)}
    return sorted({e.output for e in rows} | {rename_table(sql, name) for sql, name in made})


def undo(sql: str) -> tuple[str, frozenset[str]]:
    """Undo a renaming: return the query, and the renamed names in lower case."""
    renamed = set()
    for start, end, name in reversed(name_places(sql)):
        if name.endswith(RENAMED):
            renamed.add(name.removesuffix(RENAMED))
            old = re.sub(RENAMED, "", sql[start:end], flags=re.IGNORECASE)
            sql = sql[:start] + old + sql[end:]
    return sql, frozenset(renamed)


def relevant(target: Example, e: Example) -> bool:
    """Check whether an example's query uses the same tables and columns of the same database."""
    return (target.extra["db_id"], target.extra["names"]) == (e.extra["db_id"], e.extra["names"])


def change_name(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Rename one table or column of the target's query in the relevant examples' queries.

    The schema in the prompt keeps the old name. Raises InputError if no relevant example shares a name.
    """
    name = pick_shared(target, relevant, irrelevant, names_of, rng)
    changed = [replace(e, output=rename_table(e.output, name)) for e in relevant]
    return changed, rename_table(target.output, name)
