"""Tables and figures of the README and docs, generated from reference rows between two markers.

`python -m ccutils.report.tables` writes them anew; a test fails where they differ. A table stands between
<!-- reference: cpu --> and <!-- end of reference -->; <!-- reference: cpu topics --> shows one task alone. A
figure with its caption stands between <!-- figure: cpu --> and <!-- end of figure -->, its picture in docs/;
what becomes of the hopes between <!-- hopes: cpu --> and <!-- end of hopes -->; tasks that were not trained
on between <!-- elsewhere: smollm2 --> and <!-- end of elsewhere -->.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccutils.errors import InputError, command
from ccutils.report.aggregate import (
    final_rows,
    scores_table,
    usual_rows,
    wide_table,
    with_noun,
    write_number,
)
from ccutils.report.charts import quality_by_similarity
from ccutils.report.claims import judge_claims
from ccutils.report.elsewhere import elsewhere_table
from ccutils.report.reference import FOLDER, OF_OTHER_TASKS, find_reference, tell_origin

DOCS_ROOT = FOLDER.parent
FIGURE = re.compile(r"(<!-- figure: (\w+) -->\n).*?(<!-- end of figure -->)", re.S)
DOTTED = {
    "retrieved": "the untrained base with the k nearest examples as its context",
    "nearest_label": "what the label of the nearest example scores",
}
"""The dotted lines of a figure in words: those of `ccutils.report.charts.BASELINES`."""
NONE_KEPT = "No reference rows of profile `{}` are kept yet.\n"
HOPES = re.compile(r"(<!-- hopes: (\w+) -->\n).*?(<!-- end of hopes -->)", re.S)
TASKS_ASKED = re.compile(r"(<!-- elsewhere: (\w+) -->\n).*?(<!-- end of elsewhere -->)", re.S)
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
        return NONE_KEPT.format(profile)
    table = wide_table(scores_table(usual_rows(rows))).drop(columns="model").astype(str)
    if task:
        table = table[table["task"] == task].drop(columns="task")
        if table.empty:
            raise InputError(f"the reference of profile {profile} has no rows of task {task}: name another.")
    return f"{to_markdown(table)}\n{tell_origin(rows)}\n"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a frame of texts as a Markdown table."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fill_hopes(text: str, folder: Path = FOLDER) -> str:
    """Return the text with what becomes of the hopes as the reference rows have it now."""
    return HOPES.sub(lambda found: found[1] + make_hopes(found[2], folder) + found[3], text)


def make_hopes(profile: str, folder: Path = FOLDER) -> str:
    """Return each hope's rule and verdict by a profile's reference as Markdown, the primary ones first."""
    rows = find_reference(profile, folder)
    if rows is None:
        return NONE_KEPT.format(profile)
    table = judge_claims(rows)
    number = table.apply(lambda line: write_number(line["measure"], line["low"], line["high"]), axis=1)
    shown = pd.DataFrame(
        {
            "task": table["task"],
            "strategy": table["strategy"],
            "hope": table["hope"].where(~table["primary"], "**" + table["hope"] + "**"),
            "rule": table["rule"],
            "measured": number,
            "p": [f"{p:.3f}" if p == p else "" for p in table["p"]],
            "verdict": table["verdict"],
        }
    )
    return to_markdown(shown)


def fill_others(text: str, folder: Path = FOLDER) -> str:
    """Return the text with the tables of tasks that were not trained on as the reference rows have them."""
    return TASKS_ASKED.sub(lambda found: found[1] + make_others(found[2], folder) + found[3], text)


def make_others(profile: str, folder: Path = FOLDER) -> str:
    """Return a profile's quality on tasks that were not trained on as Markdown."""
    rows = find_reference(profile + OF_OTHER_TASKS, folder)
    if rows is None:
        return NONE_KEPT.format(profile + OF_OTHER_TASKS)
    return f"{to_markdown(elsewhere_table(rows).drop(columns='model'))}\n{tell_origin(rows)}\n"


def fill_figures(text: str, to_docs: str, folder: Path = FOLDER) -> str:
    """Fill in every marked figure: link and caption; `to_docs` leads from the file to docs/."""
    return FIGURE.sub(lambda found: found[1] + make_figure(found[2], to_docs, folder) + found[3], text)


def make_figure(profile: str, to_docs: str, folder: Path = FOLDER) -> str:
    """Return the link to a profile's figure of quality by similarity, and what it is of."""
    rows = find_reference(profile, folder)
    if rows is None:
        return NONE_KEPT.format(profile)
    final = final_rows(usual_rows(rows))
    asked = final.loc[final["probe"] == "iwl", "n"].max()
    what = f"{', '.join(sorted(set(final['task'])))}, model {', '.join(sorted(set(final['model'])))}"
    of_base = set(final.loc[final["strategy"] == "base", "probe"])
    dotted = " and ".join(words for probe, words in DOTTED.items() if probe in of_base)
    title = "Quality of the answer by the target's similarity to its most similar demonstration"
    return (
        f"![{title}: {what}]({to_docs}{picture(profile).name})\n\n*{title}; {what}; "
        f"{with_noun(final['seed'].nunique(), 'seed')}, {asked} targets a set each; bands: 95% intervals"
        f"{'; dotted: ' if dotted else ''}{dotted}. "
        f"Made of `reference/{profile}.parquet`, measured on "
        f"{'; '.join(sorted(set(rows['processor'])))}; none of it is the paper's.*\n"
    )


def picture(profile: str) -> Path:
    """Return where the picture of a profile's figure lies."""
    return DOCS_ROOT / "docs" / f"quality-{profile}.png"


def draw_picture(profile: str, rows: pd.DataFrame) -> Path:
    """Draw quality by similarity of a profile's reference rows, in twice the pixels; return the picture."""
    quality_by_similarity(usual_rows(rows)).save(picture(profile), scale_factor=2)
    return picture(profile)


def marked_files(root: Path = DOCS_ROOT) -> list[Path]:
    """Return the Markdown files of the repository that hold marked tables."""
    files = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    marked = (MARKED, FIGURE, HOPES, TASKS_ASKED)
    return sorted(path for path in files if any(m.search(path.read_text(encoding="utf-8")) for m in marked))


def fill_file(path: Path) -> str:
    """Return a file's text with its tables and figures as the reference rows have them now."""
    to_docs = "" if path.parent.name == "docs" else "docs/"
    text = path.read_text(encoding="utf-8")
    return fill_figures(fill_others(fill_hopes(fill_tables(text))), to_docs)


@command
def main(arguments: Sequence[str]) -> None:
    """Write all marked tables and figures anew."""
    if arguments:
        raise InputError(f"{arguments[0]!r} was given: this takes no arguments.")
    files = marked_files()
    shown = {name for path in files for _, name, _ in FIGURE.findall(path.read_text(encoding="utf-8"))}
    for profile in sorted(shown):
        rows = find_reference(profile)
        if rows is not None:
            print(f"drawn: {draw_picture(profile, rows)}")
    for path in files:
        path.write_text(fill_file(path), encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
