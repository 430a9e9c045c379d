"""Names in SQL: which tables and columns a query uses, its template, renaming; literals stay."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import Example

RENAMED = "_renamed"
"""What a changed label puts behind the name of a table or column; no schema has such names."""

TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\w+|[^\w\s]|\s+")


def bare_token(token: str) -> str:
    """A token without the quotes of a name, in lower case; string literals keep theirs."""
    return token[1:-1].lower() if len(token) > 1 and token[0] in '"`[' else token.lower()


def names_used(sql: str, known: Collection[str]) -> frozenset[str]:
    """The `known` names (in lower case) that a query uses."""
    return frozenset(name for name in map(bare_token, TOKEN.findall(sql)) if name in known)


def template(sql: str, known: Collection[str]) -> str:
    """The query with its literals blanked: queries of one template ask the same of different values."""
    blanked = []
    for token in TOKEN.findall(sql.rstrip("; \n")):
        name = bare_token(token)
        literal = token[0] in "'0123456789" or (token[0] == '"' and name not in known)
        if token.strip():
            blanked.append("?" if literal else name)
    return " ".join(blanked)


def rename_table(sql: str, name: str) -> str:
    """The query with `name` (in lower case) renamed wherever it stands as a name."""
    tokens = []
    for token in TOKEN.findall(sql):
        if bare_token(token) == name:
            quoted = token[0] in '"`['
            token = f"{token[:-1]}{RENAMED}{token[-1]}" if quoted else token + RENAMED
        tokens.append(token)
    return "".join(tokens)


def all_labels(rows: Iterable[Example]) -> list[str]:
    """Every query as it is, and with each of its names renamed as a changed label has it."""
    made = {(e.output, name) for e in rows for name in e.extra["names"].split("\n")}
    return sorted({sql for sql, _ in made} | {rename_table(sql, name) for sql, name in made if name})


def spaced(sql: str) -> str:
    """The query with spaces between all its tokens, for tokenizers of whole words; quotes stand alone."""
    parts = []
    for token in re.findall(r"<=|>=|<>|!=|==|\|\||\d+\.\d+|" + TOKEN.pattern, sql):
        parts.append(
            f"{token[0]} {token[1:-1]} {token[-1]}" if token[0] in "'\"" and len(token) > 1 else token
        )
    return " ".join(" ".join(parts).split())


def unspaced(sql: str) -> str:
    """A query whose quoted texts have lost the spaces at their edges that `spaced` gave them."""
    return re.sub(r"(['\"]) ?(.*?) ?\1", r"\1\2\1", sql)


def undo(sql: str) -> tuple[str, frozenset[str]]:
    """The query with the renaming undone, and the names that had been renamed, in lower case."""
    renamed = {
        name.removesuffix(RENAMED) for name in map(bare_token, TOKEN.findall(sql)) if name.endswith(RENAMED)
    }
    return re.sub(rf"{RENAMED}\b", "", sql, flags=re.IGNORECASE), frozenset(renamed)


def relevant(target: Example, e: Example) -> bool:
    """Whether an example's query uses the same tables and columns of the same database (ours)."""
    return (target.extra["db_id"], target.extra["names"]) == (e.extra["db_id"], e.extra["names"])


def change_name(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Rename one table or column of the target's query in the relevant examples' queries (ours).

    It is one that the most relevant examples use and, among those, the fewest irrelevant ones. The answer
    that follows is the target's query with that name renamed too. The schema in the prompt keeps the old
    name.
    """

    def users(name: str, rows: Sequence[Example]) -> int:
        return sum(name in e.extra["names"].split("\n") for e in rows)

    names = sorted(set(target.extra["names"].split("\n")) - {""})
    shared = [name for name in names if users(name, relevant)]
    if not shared:
        raise InputError(
            f"no relevant example shares a table or column with {target.extra['place']}: none can be renamed."
        )
    best = max((users(n, relevant), -users(n, irrelevant)) for n in shared)
    choice = [n for n in shared if (users(n, relevant), -users(n, irrelevant)) == best]
    name = str(rng.choice(choice))
    return [replace(e, output=rename_table(e.output, name)) for e in relevant], rename_table(
        target.output, name
    )
