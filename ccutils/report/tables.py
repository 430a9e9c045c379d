"""Tables and figures of the README and docs, generated from reference rows between two markers.

`python -m ccutils.report.tables` rewrites them; a test fails where they differ. A table is written between
<!-- reference: cpu --> and <!-- end of reference -->; <!-- reference: cpu topics --> shows only one task. A
figure with its caption is written between <!-- figure: cpu --> and <!-- end of figure -->, its picture to
docs/. Likewise `summary` is the table that README begins with, `differences` the paired differences between
strategies, `hypotheses` the verdicts, `elsewhere` the transfer tasks, `variants` every variant of a strategy,
and `origins: all` the origin of all rows.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ccutils.errors import InputError, command
from ccutils.report.ablations import ABLATION_SCORES, variant_names
from ccutils.report.aggregate import (
    OVERRIDE,
    RETRIEVED_ID,
    SUMMARY,
    Headline,
    final_rows,
    scores_table,
    summary_table,
    usual_rows,
    wide_table,
    with_noun,
    write_number,
)
from ccutils.report.build import DRAWN
from ccutils.report.charts import main_figure
from ccutils.report.elsewhere import elsewhere_table
from ccutils.report.hypotheses import check_hypotheses
from ccutils.report.paired import Difference, paired_difference
from ccutils.report.reference import (
    FOLDER,
    OF_ANSWERS,
    OF_OTHER_TASKS,
    ORIGIN,
    find_answers,
    find_baselines_of,
    find_reference,
)

DOCS_ROOT = FOLDER.parents[1]
CAPTIONS = {
    "quality_by_similarity": "target's similarity to its most similar demonstration",
    "quality_by_relevance": "number of relevant demonstrations",
}
"""The ends of the titles of main figures."""
DOTTED = {
    "retrieved": "the untrained base with the k nearest examples as its context",
    "nearest_label": "what the label of the nearest example scores",
}
"""Descriptions of the dotted lines of a figure: those of `ccutils.report.charts.BASELINES`."""
DIFFERENCES = {
    **SUMMARY,
    "k nearest, ID": RETRIEVED_ID,
    "label changed": OVERRIDE,
    "all labels changed": Headline("", "icl", "id", None),
    "none relevant, OOD": Headline("", "quality", "ood", 0),
}
"""The columns of a table of differences: those of the summary and four more."""
COMPARED = (
    *(("contrastive", name) for name in ("base", "random", "similar", "batch_mix", "nearest label")),
    ("contrastive", "batch_mix, p=0.6"),
    ("contrastive, epsilon=0", "batch_mix"),
    ("contrastive, learning_rate=0.0002,steps=500", "base"),
    ("similar", "base"),
)
"""The strategies that are compared; "nearest label" copies the label of the most similar example."""
NONE_KEPT = "No reference rows of profile `{}` are kept yet.\n"


def fill_marks(text: str, to_docs: str = "", folder: Path = FOLDER) -> str:
    """Replace every marked table and figure by the one generated from the reference rows.

    `to_docs` is the path from the text's file to docs/. Raises InputError if a mark names a task without
    reference rows.
    """

    def fill(found: re.Match[str]) -> str:
        start, kind, profile, task, end = found.groups()
        figure = kind == "figure"
        made = make_figure(profile, to_docs, folder) if figure else make_table(kind, profile, folder, task)
        return start + made + end

    return MARK.sub(fill, text)


def make_table(kind: str, profile: str, folder: Path = FOLDER, task: str = "") -> str:
    """Write one of TABLES, or the origins of all rows, as Markdown; `task` selects one task."""
    if kind == "origins":
        return to_markdown(origins_table(folder))
    name = profile + OF_OTHER_TASKS * (kind == "elsewhere")
    rows = find_reference(name, folder)
    if rows is None:
        return NONE_KEPT.format(name)
    if task and task not in set(rows["task"]):
        tasks = ", ".join(sorted(set(rows["task"])))
        raise InputError(f"No reference rows of task {task!r} in profile {name}; found: {tasks}.")
    chosen = rows[rows["task"] == task] if task else rows
    if kind == "summary":
        baselines = find_baselines_of(profile, folder)
        shown = summary_table(usual_rows(chosen), baselines).drop(columns="step")
    else:
        shown = TABLES[kind](chosen, find_answers(profile, folder))
    return to_markdown(shown.drop(columns=["model", *(["task"] if task else [])], errors="ignore"))


def to_markdown(table: pd.DataFrame) -> str:
    """Format a frame as a Markdown table."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def differences_table(rows: pd.DataFrame, judged: pd.DataFrame | None = None) -> pd.DataFrame:
    """Subtract one strategy's scores from another's, seed by seed: a line for each task and pair of COMPARED.

    A cell shows the mean over seeds and its 95% interval; one seed has no interval. With `judged`
    (`find_answers`) intervals are of differences target by target.
    """
    final = final_rows(rows)
    if judged is not None:
        base, trained = usual_rows(judged[judged["step"] == 0]), judged[judged["step"] > 0]
        judged = pd.concat([base, trained.assign(strategy=variant_names(trained))])
    copied = final[(final["probe"] == "nearest_label") & (final["strategy"] == "base")]
    final = final.assign(strategy=variant_names(final))
    final = pd.concat([final, copied.assign(strategy="nearest label", probe="retrieved")])
    lines = []
    for (task, model), part in final.groupby(["task", "model"]):
        for pair in COMPARED:
            if not set(pair) <= set(part["strategy"]):
                continue
            line, mine = {}, part[part["strategy"] == pair[0]]
            asked, seeds = [], 0
            for name, score in DIFFERENCES.items():
                found = paired_difference(part, score, *pair, judged=judged)
                line[name], seeds = write_difference(found), max(seeds, found.seeds)
                if found.seeds:
                    asked.append(int(score.of(mine[mine["seed"].isin(found.by_seed.index)])["n"].sum()))
            counts = " to ".join(map(str, sorted({min(asked, default=0), max(asked, default=0)})))
            key = {"task": task, "model": model, "difference": " − ".join(pair)}
            lines.append({**key, **line, "answers": counts, "seeds": seeds})
    return pd.DataFrame(lines)


def write_difference(found: Difference) -> str:
    """Write a difference with its 95% interval, which it has from two seeds on; "–" without seeds."""
    if not found.seeds:
        return "–"
    low, high = found.interval()
    return f"{found.mean:+.2f}" + (f" ({low:+.2f} to {high:+.2f})" if found.seeds > 1 else "")


def variants_table(rows: pd.DataFrame, _: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay out the scores of `ABLATION_SCORES` of every variant of a strategy."""
    table = scores_table(rows)
    table = table[table["score"].isin([score.name for score in ABLATION_SCORES])]
    return wide_table(table.assign(strategy=variant_names(table)))


def hypotheses_table(rows: pd.DataFrame, answers: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay out each hypothesis with its rule and verdict; primary ones are bold."""
    table = check_hypotheses(rows, judged=answers)
    number = table.apply(lambda line: write_number(line["difference"], line["low"], line["high"]), axis=1)
    return pd.DataFrame(
        {
            "task": table["task"],
            "strategy": table["strategy"],
            "hypothesis": table["hypothesis"].where(~table["primary"], "**" + table["hypothesis"] + "**"),
            "rule": table["rule"],
            "measured": number,
            "p": [f"{p:.3f}" if p == p else "" for p in table["p"]],
            "verdict": table["verdict"],
        }
    )


def origins_table(folder: Path = FOLDER) -> pd.DataFrame:
    """List the origin of the rows of every reference file, one line for each file."""
    lines = []
    paths = (path for path in sorted(folder.glob("*.parquet")) if not path.stem.endswith(OF_ANSWERS))
    for path in paths:
        rows = pd.read_parquet(path, columns=["seed", *ORIGIN])
        found = {name: "; ".join(sorted(set(map(str, rows[name])))) for name in ("seed", *ORIGIN)}
        lines.append({"rows": path.stem, **found})
    return pd.DataFrame(lines)


TABLES: dict[str, Callable[[pd.DataFrame, pd.DataFrame | None], pd.DataFrame]] = {
    "reference": lambda rows, _: wide_table(scores_table(usual_rows(rows))),
    "differences": differences_table,
    "variants": variants_table,
    "hypotheses": hypotheses_table,
    "elsewhere": lambda rows, _: elsewhere_table(rows),
}
"""Functions of a reference's rows and answers that lay out a table, by the kind named in its mark."""
KINDS = "|".join([*TABLES, "summary", "origins", "figure"])
MARK = re.compile(rf"(<!-- ({KINDS}): (\w+) ?(\w*) -->\n).*?(<!-- end of \2 -->)", re.S)


def make_figure(profile: str, to_docs: str, folder: Path = FOLDER) -> str:
    """Write the link and the caption of a profile's main figure."""
    rows = find_reference(profile, folder)
    if rows is None:
        return NONE_KEPT.format(profile)
    final = final_rows(usual_rows(rows))
    asked = final.loc[final["probe"] == "iwl", "n"].max()
    what = f"{', '.join(sorted(set(final['task'])))}, model {', '.join(sorted(set(final['model'])))}"
    of_base = set(final.loc[final["strategy"] == "base", "probe"])
    dotted = " and ".join(words for probe, words in DOTTED.items() if probe in of_base)
    title = f"Quality of the answer by the {CAPTIONS[main_figure(rows)]}"
    return (
        f"![{title}: {what}]({to_docs}{picture(profile).name})\n\n*{title}; {what}; "
        f"{with_noun(final['seed'].nunique(), 'seed')}, {asked} targets a set each; bands: 95% intervals"
        f"{'; dotted: ' if dotted else ''}{dotted}. Drawn from `data/reference/{profile}.parquet`, "
        "measured by this package.*\n"
    )


def picture(profile: str) -> Path:
    """Build the path of the picture of a profile's main figure."""
    return DOCS_ROOT / "docs" / f"quality-{profile}.png"


def draw_picture(profile: str, rows: pd.DataFrame) -> Path:
    """Draw the main figure of a profile's reference rows at double resolution; return its path."""
    DRAWN[main_figure(rows)](usual_rows(rows)).save(picture(profile), scale_factor=2)
    return picture(profile)


def marked_files(root: Path = DOCS_ROOT) -> list[Path]:
    """List the Markdown files of the repository that contain marked tables or figures."""
    files = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    return sorted(path for path in files if MARK.search(path.read_text(encoding="utf-8")))


def shown_figures(path: Path) -> set[str]:
    """List the profiles whose figures a file shows."""
    marks = MARK.findall(path.read_text(encoding="utf-8"))
    return {profile for _, kind, profile, _, _ in marks if kind == "figure"}


def fill_file(path: Path) -> str:
    """Generate a file's text with tables and figures from the reference rows."""
    to_docs = "" if path.parent == DOCS_ROOT / "docs" else "docs/"
    return fill_marks(path.read_text(encoding="utf-8"), to_docs)


@command
def main(arguments: Sequence[str]) -> None:
    """Rewrite all marked tables and figures."""
    if arguments:
        raise InputError(f"Unexpected argument {arguments[0]!r}: this command takes none.")
    files = marked_files()
    for profile in sorted(set().union(*map(shown_figures, files))):
        if (rows := find_reference(profile)) is not None:
            print(f"drawn: {draw_picture(profile, rows)}")
    for path in files:
        path.write_text(fill_file(path), encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
