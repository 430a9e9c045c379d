"""Tables of the README and docs, generated from reference rows between two markers.

`python -m ccutils.report.tables` writes them anew; a test fails where they differ. A table stands between
<!-- reference: cpu --> and <!-- end of reference -->; <!-- reference: cpu topics --> shows one task alone.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ccutils.errors import InputError, command
from ccutils.report.aggregate import scores_table, usual_rows, wide_table
from ccutils.report.reference import FOLDER, find_reference, tell_origin

DOCS_ROOT = FOLDER.parent
MARKED = re.compile(r"(<!-- reference: (\w+) ?(\w*) -->\n).*?(<!-- end of reference -->)", re.S)


def fill_tables(text: str, folder: Path = FOLDER) -> str:
    """Return the text with every marked table as the reference rows have it now."""
    return MARKED.sub(lambda found: found[1] + make_table(found[2], folder, found[3]) + found[4], text)


def make_table(profile: str, folder: Path = FOLDER, task: str = "") -> str:
    """Return the headline scores of a profile's reference as Markdown, with where they come from.

    Of one task alone if it is named. Raises InputError where the reference has no such task.
    """
    rows = find_reference(profile, folder)
    if rows is None:
        return f"No reference rows of profile `{profile}` are kept yet.\n"
    table = wide_table(scores_table(usual_rows(rows))).drop(columns="model").astype(str)
    if task:
        table = table[table["task"] == task].drop(columns="task")
        if table.empty:
            raise InputError(f"the reference of profile {profile} has no rows of task {task}: name another.")
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{tell_origin(rows)}\n"


def marked_files(root: Path = DOCS_ROOT) -> list[Path]:
    """Return the Markdown files of the repository that hold marked tables."""
    files = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    return sorted(path for path in files if MARKED.search(path.read_text(encoding="utf-8")))


@command
def main(arguments: Sequence[str]) -> None:
    """Write all marked tables anew."""
    if arguments:
        raise InputError(f"{arguments[0]!r} was given: this takes no arguments.")
    for path in marked_files():
        path.write_text(fill_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
