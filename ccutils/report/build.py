"""The report of a results folder: every figure, drawn and saved, on one page that works offline."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ccutils.errors import InputError
from ccutils.origin import describe_origin
from ccutils.private import hide_private
from ccutils.records import ELSEWHERE, Run, read_json
from ccutils.report import charts
from ccutils.report.ablations import ablations
from ccutils.report.aggregate import (
    SCORES,
    find_baselines,
    gaps,
    scores_table,
    summary_table,
    unjudged,
    usual_rows,
    wide_table,
    with_noun,
    write_number,
)
from ccutils.report.answers_page import answers_link, write_answers
from ccutils.report.elsewhere import elsewhere, elsewhere_table, find_elsewhere
from ccutils.report.findings import list_findings
from ccutils.report.frontier import frontier
from ccutils.report.hypotheses import chance_of_error, check_hypotheses, count_verdicts
from ccutils.report.page import (
    figure_html,
    folded,
    heading,
    image_html,
    items,
    paragraph,
    sources_html,
    table_html,
    write_page,
)
from ccutils.report.paired import find_judged
from ccutils.report.reference import compare_rows, find_answers, find_reference, tell_agreement, tell_origin
from ccutils.style import save


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, the name of its files, how to read it, and the files of the runs that it shows."""

    name: str
    chart: Any
    reading: str
    files: tuple[Path, ...] = ()  # relative to the results folder


OF_A_RUN = ("seed", "recipe.seed", "strategy", "data")  # what may differ between runs that are compared
PATTERNS = {
    "context_structure": "**/contexts.parquet",
    "elsewhere": f"**/{ELSEWHERE}",
    "minimal_model": "minimal_model/*.parquet",
}
"""The files of figures that are not drawn from the rows of runs."""
FEWEST_STEPS = 50  # of the tiny model: with fewer it learns next to nothing
INTRODUCTION = (
    "A reproduction of the ideas of arXiv:2604.01601. All numbers were measured by this package on the runs "
    "listed below; none is the paper's. The definitions of scores and tasks are ours too."
)
SUMMARY_NOTE = (
    "Quality at the last step, from 0 to 1: mean over seeds (95% interval). Knowledge: in domain (ID), no "
    "relevant example in the context. One relevant, all relevant, k nearest: examples of groups that "
    "training never saw (OOD). Copied irrelevant label: share of all ID answers with no relevant example; "
    "lower is better. base: the model before fine-tuning. Baselines without a language model: majority "
    "(most frequent label), nearest (label of the most similar demonstration), classifier (TF-IDF and "
    "logistic regression on the pool), gated (the classifier, unless the most similar demonstration is "
    "similar enough). –: not measured."
)
SCORES_NOTE = (
    "Mean over seeds (95% interval over seeds and targets), from 0 to 1; the Copy-score above chance from -1 "
    "to 1. base: the model before fine-tuning. –: not measured."
)
RULES = (
    "Each hypothesis is a rule with a bound; the rules are our reading of the paper's claims, and the table "
    "says when each was written. From six seeds on, primary hypotheses are tested: for the tiny model four, "
    "by flipping the signs of the seeds' differences; for every other model seven, by a paired t-test over "
    "seeds, since sign flips of six seeds cannot decide seven tests. p is corrected by Holm. The others are "
    "supported if the whole 95% interval fulfils the rule. Differences are paired by seed and target. With "
    "fewer seeds a hypothesis is undecided; the column reference says whether the reference rows of this "
    "profile give the same number."
)
READINGS = {
    "quality_by_similarity": (
        "Left: nothing in the context resembles the target, so only the weights can answer. Right: the "
        "context contains a near copy. A model that only uses its context rises from zero; a mixture is "
        "high at both ends. The same targets are compared across similarities (a fixed effect for each "
        "target). Points are drawn at the middle of their bins."
    ),
    "gate_and_choice": (
        "Gate: the share of answers that are a label in the context, with 0, 1 or all examples relevant. "
        "With none relevant a low gate is good, since copying is wrong. Choice: of those answers, the share "
        "that is the relevant example's label, with one relevant example among random irrelevant ones or "
        "among the most similar irrelevant ones (hard negatives). Strategies that differ in the gate but not "
        "in choice differ in when they use the context, not in what they use of it."
    ),
    "quality_by_relevance": (
        "With 0 relevant examples only the weights can answer. The step from 0 to 1 shows whether the model "
        "finds the one relevant example among irrelevant ones. With all examples relevant, copying any "
        "label is enough. Targets with few relevant examples are missing at the higher counts."
    ),
    "scores_over_training": (
        "Step 0 is the base before fine-tuning, the same for all strategies. IWL-score: quality with "
        "nothing relevant in the context. ICL-score, override: share of answers that follow a relevant "
        "example whose label was changed. ICL-score, novel: quality with one relevant example of a group "
        "that training never saw. Copy-score above chance: of the wrong answers with nothing relevant in "
        "the context, the share that repeats a label of the context, minus the share that repeats a label "
        "of another target's context. It varies where few answers are wrong (point at it for the count)."
    ),
    "frontier": (
        "Each path starts at the base and follows the checkpoints. Further right: more knowledge. Further "
        "up: more in-context learning. The higher path keeps more at equal knowledge, which is how "
        "strategies are compared here. The level is the largest IWL-score that all strategies reach, except "
        "those that learn less than half of what the best one does."
    ),
    "scores_at_the_end": (
        "Scores at the last step; base is step 0. IWL-, override and Copy-score are measured in domain "
        "(ID), the novel ICL-score and copied irrelevant labels (with one relevant example) out of domain "
        "(OOD). Darker is higher, which is good for all but copying."
    ),
    "ablations": (
        "Each line is a strategy with some values changed, below the strategy as the profile has it. Points "
        "are means over seeds, lines their 95% intervals."
    ),
    "elsewhere": (
        "Few-shot questions of transfer tasks, which were not trained. With all examples relevant, a model "
        "below the base has lost in-context learning; with one relevant example, a model below the base no "
        "longer chooses which example to follow."
    ),
    "context_structure": (
        "What training shows the model: how similar the best example of each context is to its target. "
        "Strategy none has no contexts and is left out."
    ),
}

DRAWN: dict[str, Callable[[pd.DataFrame], Any]] = {
    "quality_by_similarity": charts.quality_by_similarity,
    "gate_and_choice": charts.gate_and_choice,
    "quality_by_relevance": charts.quality_by_relevance,
    "scores_over_training": charts.scores_over_training,
    "frontier": frontier,
    "scores_at_the_end": charts.scores_chart,
    "ablations": ablations,
    "elsewhere": elsewhere,
    "context_structure": charts.context_structure,
}
"""The function that draws each figure: from rows; the last two from those of transfer tasks and contexts."""
OF_A_MODEL = tuple(DRAWN)[:-3]


def draw_figures(
    rows: pd.DataFrame, contexts: pd.DataFrame | None = None, others: pd.DataFrame | None = None
) -> list[Figure]:
    """Draw every figure of the rows, those of each model together, its two main figures first.

    `others` are rows of transfer tasks. Where answers are too few, the figure's subtitle says so.
    """
    figures = []
    for model, part in usual_rows(rows).groupby("model"):
        suffix = "" if rows["model"].nunique() == 1 else "-" + str(model).strip("/").replace("/", "--")
        main = (charts.main_figure(part), "gate_and_choice")
        for name in dict.fromkeys([*main, *OF_A_MODEL]):
            figures.append(Figure(name + suffix, DRAWN[name](part), READINGS[name], run_files(part)))
    given = {"ablations": rows if (rows["variant"] != "").any() else None, "elsewhere": others}
    for name, table in {**given, "context_structure": contexts}.items():
        if table is not None:
            files = run_files(rows) if name == "ablations" else ()
            figures.append(Figure(name, DRAWN[name](table), READINGS[name], files))
    return figures


def run_files(rows: pd.DataFrame) -> tuple[Path, ...]:
    """List the files that rows come from, relative to the results folder."""
    runs = rows[["task", "model", "strategy", "seed", "variant", "base"]].drop_duplicates()
    found = (Run(Path(), *run).folder / "probes.parquet" for run in runs.itertuples(index=False))
    return tuple(sorted(found))


def save_all(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure to folder/<name>.svg, .png and .html, and return the paths."""
    return [
        path for figure in tqdm(figures, desc="figures") for path in save(figure.chart, folder / figure.name)
    ]


def read_contexts(results: Path) -> pd.DataFrame | None:
    """Read the drawn contexts of all tasks below `results`; None before notebook 02_contexts has run."""
    paths = sorted(results.rglob("contexts.parquet"))
    columns = ["task", "strategy", "seed", "best"]
    try:
        tables = [pd.read_parquet(path, columns=columns) for path in paths]
    except ValueError as error:
        raise InputError(
            f"A contexts.parquet below {results} lacks one of the columns {', '.join(columns)}: run notebook "
            "02_contexts again."
        ) from error
    return pd.concat(tables, ignore_index=True) if tables else None


def read_parameters(results: Path) -> pd.DataFrame:
    """Collect the parameters of all runs, columns name and value; where runs differ, the distinct values."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted(results.rglob("probes.json")):
        for name, value in flatten(read_json(path)):
            found.setdefault(name, {})[value] = None
    lines = [(name, "; ".join(values)) for name, values in sorted(found.items())]
    return pd.DataFrame(lines, columns=["name", "value"])


def read_mixed(results: Path) -> list[str]:
    """Write a sentence for each parameter in which runs of one task and model differ but should not."""
    found: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for path in sorted(results.rglob("probes.json")):
        probed, trained = read_json(path), read_json(path.with_name("plan.json")) or {}
        key = (probed.get("task", ""), probed.get("model", ""), trained.get("variant", ""))
        for name, value in [*flatten(probed), *flatten(trained)]:
            if name not in OF_A_RUN and not name.startswith(("facts.", "probes.", "origin.")):
                found.setdefault(key, {}).setdefault(name, set()).add(value)
    return [
        f"Task {task}, model {model}: runs with different {name} ({', '.join(sorted(values))}) are in this "
        "folder and are averaged: run all of them again, or choose another `results`."
        for (task, model, _), names in found.items()
        for name, values in names.items()
        if len(values) > 1
    ]


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values, as text, of nested mappings."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, inner if isinstance(inner, str) else json.dumps(inner)


def hypotheses_html(table: pd.DataFrame) -> list[str]:
    """Write the hypotheses of each task and model as a table, primary ones first."""
    if table.empty:
        return [paragraph("None of the strategies that the hypotheses are about was run.")]
    parts = [paragraph(f"{count_verdicts(table)} {chance_of_error(table)}"), paragraph(RULES)]
    for (task, model), part in table.groupby(["task", "model"], sort=False):
        part = part.sort_values("primary", ascending=False, kind="stable")
        bounds = zip(part["difference"], part["low"], part["high"], strict=True)
        shown = pd.DataFrame(
            {
                "hypothesis": part["strategy"] + ": " + part["hypothesis"],
                "rule": part["rule"],
                "measured (95% interval)": [measured(*bound) for bound in bounds],
                "verdict": part["verdict"],
                "reference": part["reference"],
                "kind": part["primary"].map({True: "primary", False: "descriptive"}),
                "p": part["p"].map(lambda p: "" if pd.isna(p) else f"{p:.3f}"),
                "written": part["written"],
            }
        )
        parts += [heading(f"{task}, {model}", level=3), table_html(shown)]
    return parts


def measured(mean: float, low: float, high: float) -> str:
    """Write a number with its interval, or alone where one seed gives none.

    >>> measured(0.1, 0.05, 0.2), measured(0.1, float("nan"), float("nan"))
    ('0.10 (0.05–0.20)', '0.10')
    """
    if pd.isna(mean):
        return "not measured"
    return f"{mean:.2f}" if pd.isna(low) else write_number(mean, low, high)


def too_short(rows: pd.DataFrame) -> str:
    """Warn about a tiny model trained for too few steps; "" where there were enough."""
    steps = rows.loc[rows["model"] == "tiny", "step"].max()
    if pd.isna(steps) or steps >= FEWEST_STEPS:
        return ""
    return f"Only {with_noun(int(steps), 'optimiser step')}: the numbers of so short a run mean nothing."


def reference_html(profile: str, rows: pd.DataFrame, judged: pd.DataFrame | None) -> list[str]:
    """Compare the run with the profile's reference in one line, the table folded."""
    reference = find_reference(profile)
    if reference is None:
        return [paragraph("There are no reference rows for a profile of this name.")]
    table = compare_rows(rows, reference, judged, find_answers(profile))
    between = zip(table["difference"], table["low"], table["high"], strict=True)
    shown = table[["task", "model", "strategy", "score"]].assign(
        yours=table["yours"].map("{:.2f}".format),
        reference=table["reference"].map("{:.2f}".format),
        difference=[f"{d:+.2f} ({low:+.2f} to {high:+.2f})" for d, low, high in between],
        agrees=table["agrees"].map({True: "yes", False: "no"}),
    )
    details = paragraph(tell_origin(reference)) + table_html(shown)
    return [paragraph(tell_agreement(table)), folded("All numbers beside the reference", details)]


def elsewhere_html(results: Path) -> list[str]:
    """Write the table of transfer tasks; nothing if none was asked."""
    others = find_elsewhere(results)
    if others is None:
        return []
    return [
        heading("Transfer tasks at the last step"),
        paragraph("Quality with none, one and all of the examples relevant; intervals as above."),
        table_html(elsewhere_table(others)),
    ]


def write_report(results: Path, rows: pd.DataFrame, figures: Iterable[Figure]) -> Path:
    """Write results/report.html, one page without network access, and answers.html beside it.

    The page: a summary table, the two main figures, findings, all figures, hypotheses, agreement with the
    reference, all scores, parameters and origin. Folders of this machine are left out (`ccutils.private`).
    """
    path, profile = results / "report.html", results.resolve().name
    judged, usual = find_judged(results), usual_rows(rows)
    minimal = [image_html(image) for image in sorted((results / "minimal_model").glob("*.svg"))]

    def sources(name: str, files: Iterable[Path] = ()) -> str:
        found = results.glob(PATTERNS[name]) if name in PATTERNS else (results / file for file in files)
        return sources_html(results, sorted(found))

    drawn = [
        figure_html(figure.name, figure.chart, figure.reading)
        + answers_link(figure.name)
        + sources(figure.name, figure.files)
        for figure in figures
    ]
    files = [file.with_name(name) for file in run_files(usual) for name in (file.name, "questions.parquet")]
    tables = sources("tables", [file for file in files if (results / file).exists()])
    hypotheses = check_hypotheses(rows, judged=judged, reference=find_reference(profile))
    body = [
        *(paragraph(f"⚠ {warning}") for warning in filter(None, [too_short(rows), *read_mixed(results)])),
        table_html(summary_table(usual, find_baselines(results)), "Summary"),
        paragraph(SUMMARY_NOTE),
        *drawn[:2],
        heading("Findings"),
        items(list_findings(rows, judged) or ["Strategy contrastive was not run."]),
        heading("Figures"),
        paragraph("Point at a mark for its numbers; click it for the answers behind it."),
        *drawn[2:],
        heading("The minimal model"),
        *(minimal or [paragraph("Notebook 01_minimal_model has not been run with these results.")]),
        sources("minimal_model"),
        heading("Hypotheses"),
        *hypotheses_html(hypotheses),
        tables,
        heading("Agreement with the reference"),
        *reference_html(profile, rows, judged),
        heading("All scores at the last step"),
        paragraph(SCORES_NOTE),
        *map(paragraph, filter(None, [gaps(rows, SCORES), unjudged(rows)])),
        table_html(wide_table(scores_table(usual))),
        tables,
        *elsewhere_html(results),
        heading("Parameters and origin"),
        paragraph(INTRODUCTION),
        paragraph(summarise(rows)),
        *(folded(name, table_html(table, name)) for name, table in described(results).items()),
    ]
    # An image is base64: it contains no path, and would take long to search.
    body = [part if part in minimal else hide_private(part) for part in body]
    write_answers(results)
    write_page(path, "In-context and in-weights mixtures by contrastive context sampling", body)
    return path


def described(results: Path) -> dict[str, pd.DataFrame]:
    """Collect the tables of parameters and origin, by their title."""
    origin = pd.DataFrame(list(describe_origin().items()), columns=["name", "value"])
    return {"Parameters of the runs": read_parameters(results), "Code, machine and versions": origin}


def summarise(rows: pd.DataFrame) -> str:
    """Describe in one line what was run."""
    columns = {"tasks": "task", "models": "model", "strategies": "strategy", "seeds": "seed"}
    parts = [f"{name}: {', '.join(map(str, sorted(set(rows[col]))))}" for name, col in columns.items()]
    return f"{len(rows)} measured numbers; {'; '.join(parts)}; last step: {rows['step'].max()}."
