"""The report of a results folder: every figure drawn and saved, and one page that holds them all, offline."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ccutils.errors import InputError
from ccutils.origin import describe_origin
from ccutils.records import read_json
from ccutils.report import charts
from ccutils.report.ablations import ablations
from ccutils.report.aggregate import SCORES, gaps, scores_table, unjudged, usual_rows, wide_table
from ccutils.report.claims import VERDICTS, judge_claims
from ccutils.report.frontier import frontier
from ccutils.report.page import figure_html, heading, image_html, paragraph, table_html, write_page
from ccutils.report.paired import find_judged
from ccutils.report.reference import compare_rows, find_reference, tell_agreement, tell_origin
from ccutils.style import save


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, the name of its files, and a line on how to read it."""

    name: str
    chart: Any
    reading: str


OF_A_RUN = ("seed", "recipe.seed", "strategy", "data")  # what may differ between runs that are compared

VERDICT_MARKS = dict(zip(VERDICTS, "✓✗?––=≠–", strict=True))

INTRODUCTION = (
    "A reproduction of the ideas of arXiv:2604.01601. Every number here was measured by this package "
    "on the runs listed below; none is the paper's. The definitions of the scores and tasks are ours "
    "too."
)
RULES = (
    "Each hope is a rule; its bound is ours and was set beforehand, as were the four primary hopes. From six "
    "seeds on these four are tested by flipping the signs of the seeds' differences, p corrected by Holm; "
    "all others describe: they came out if the whole 95% interval keeps the rule, they did not if none of it "
    "does. Of fewer seeds nothing is decided here: the report says whether they agree with the reference. "
    "Intervals are a bootstrap over seeds and, within them, targets; where a rule compares two strategies, "
    "they are compared seed by seed and target by target. OOD: groups of examples that training never saw."
)
SCORES_NOTE = (
    "Mean over seeds (95% interval of a bootstrap over seeds and, within them, targets), from 0 to 1; the "
    "Copy-score above chance from -1 to 1. base: before fine-tuning. –: not measured."
)
READINGS = {
    "quality_by_similarity": (
        "Left: nothing in the context resembles the target, so the answer must come from the "
        "weights. Right: a near copy is at hand. A line that rises from zero lives by the context "
        "alone; a mixture is high at both ends. The same targets are compared across similarities "
        "(a fixed effect for each), so a line that pays no heed to the context is flat. Points stand in "
        "the middle of their bins."
    ),
    "quality_by_relevance": (
        "The same question by count: with 0 relevant examples only the weights can answer. The step "
        "from 0 to 1 shows whether the model finds the one relevant example among irrelevant ones; "
        "where all are relevant, blind copying does as well. Targets with few relevant examples "
        "are missing at the higher counts."
    ),
    "scores_over_training": (
        "Step 0 is the base before fine-tuning, shared by all strategies. IWL-score: quality with "
        "nothing relevant in the context. ICL-score, override: share of answers that follow a relevant "
        "example whose label was changed, against the weights; training holds no such conflict. ICL-score, "
        "novel: quality with one relevant example where only the context can know (OOD). Copy-score above "
        "chance: of the wrong answers with nothing relevant at hand, the share that repeats a label of the "
        "context, minus the share that repeats one of the context of another target; it is "
        "unsteady where few "
        "answers are wrong (point at it for the count)."
    ),
    "frontier": (
        "Each path goes from the base, at the left, over the checkpoints. To the right "
        "more is known, further "
        "up more in-context learning is kept: the upper path keeps more at equal knowledge, which is how "
        "strategies are compared here. The level is the largest IWL-score that all reach "
        "but those that learn "
        "less than half of what the best does."
    ),
    "scores_at_the_end": (
        "Numbers of the last step; base is step 0. IWL-, override and Copy-score are those of the ID set, "
        "the novel ICL-score and blind copying (a wrong answer that is the label of an irrelevant "
        "example, with "
        "one relevant at hand) those of the OOD set. Darker is higher, which is good for all but copying."
    ),
    "ablations": (
        "Each line is a strategy with some of its values changed, below the strategy as the profile has it. "
        "Points are means over seeds, lines their 95% intervals."
    ),
    "context_structure": (
        "What each strategy shows the model in training: how similar the best example of each "
        "context is to its target. Strategy none has no contexts and is left out."
    ),
}


def draw_figures(rows: pd.DataFrame, contexts: pd.DataFrame | None = None) -> list[Figure]:
    """Return every figure of the rows, one for each model, and that of the drawn contexts if given.

    What there are too few answers for is said in a figure's subtitle, or in its place.
    """
    figures = []
    for model, part in usual_rows(rows).groupby("model"):
        suffix = "" if rows["model"].nunique() == 1 else "-" + str(model).strip("/").replace("/", "--")
        kinds = {
            "quality_by_similarity": charts.quality_by_similarity,
            "quality_by_relevance": charts.quality_by_relevance,
            "scores_over_training": charts.scores_over_training,
            "frontier": frontier,
            "scores_at_the_end": charts.scores_chart,
        }
        for name, make in kinds.items():
            figures.append(Figure(name + suffix, make(part), READINGS[name]))
    if (rows["variant"] != "").any():
        figures.append(Figure("ablations", ablations(rows), READINGS["ablations"]))
    if contexts is not None:
        chart = charts.context_structure(contexts)
        figures.append(Figure("context_structure", chart, READINGS["context_structure"]))
    return figures


def save_all(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure to folder/<name>.svg, .png and .html; returns the paths."""
    return [
        path for figure in tqdm(figures, desc="figures") for path in save(figure.chart, folder / figure.name)
    ]


def read_contexts(results: Path) -> pd.DataFrame | None:
    """Read the drawn contexts of all tasks below `results`; None before notebook 02_contexts has run."""
    paths = sorted(results.rglob("contexts.parquet"))
    if not paths:
        return None
    columns = ["task", "strategy", "seed", "best"]
    try:
        tables = [pd.read_parquet(path, columns=columns) for path in paths]
    except ValueError as error:
        raise InputError(
            f"a contexts.parquet below {results} lacks one of the columns {', '.join(columns)}: run notebook "
            "02_contexts again."
        ) from error
    return pd.concat(tables, ignore_index=True)


def read_parameters(results: Path) -> pd.DataFrame:
    """Return columns name, value: the parameters of all runs; where runs differ, the distinct values."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted(results.rglob("probes.json")):
        for name, value in flatten(json.loads(path.read_text(encoding="utf-8"))):
            found.setdefault(name, {})[value] = None
    lines = [(name, "; ".join(values)) for name, values in sorted(found.items())]
    return pd.DataFrame(lines, columns=["name", "value"])


def read_mixed(results: Path) -> list[str]:
    """Return a sentence for each parameter that should be the same for all runs of a task and model, and is
    not.
    """
    found: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for path in sorted(results.rglob("probes.json")):
        probed = json.loads(path.read_text(encoding="utf-8"))
        trained = read_json(path.with_name("plan.json")) or {}
        values = found.setdefault(
            (str(probed.get("task", "")), str(probed.get("model", "")), str(trained.get("variant", ""))), {}
        )
        for name, value in [*flatten(probed), *flatten(trained)]:
            if name not in OF_A_RUN and not name.startswith(("facts.", "probes.", "origin.")):
                values.setdefault(name, set()).add(value)
    return [
        f"Task {task}, model {model}: runs with different {name} ({', '.join(sorted(values))}) lie in this "
        "folder and are taken together: run all of them again, or choose another `results`."
        for (task, model, _), names in found.items()
        for name, values in names.items()
        if len(values) > 1
    ]


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield pairs of a dotted name and a value as text, of nested mappings."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, inner if isinstance(inner, str) else json.dumps(inner)


def read_origin() -> pd.DataFrame:
    """Return columns name, value: date, git commit of this code, processor, versions."""
    return pd.DataFrame(list(describe_origin().items()), columns=["name", "value"])


def reference_html(rows: pd.DataFrame, reference: pd.DataFrame | None) -> list[str]:
    """Return the run's numbers beside the reference's, or a sentence that there is none."""
    if reference is None:
        return [paragraph("No reference rows are kept for a profile of this name.")]
    table = compare_rows(rows, reference)
    between = zip(table["difference"], table["low"], table["high"], strict=True)
    shown = table[["task", "model", "strategy", "score"]].assign(
        yours=table["yours"].map("{:.2f}".format),
        reference=table["reference"].map("{:.2f}".format),
        difference=[f"{d:+.2f} ({low:+.2f} to {high:+.2f})" for d, low, high in between],
        agrees=table["agrees"].map({True: "=", False: "≠"}),
    )
    return [paragraph(tell_agreement(table)), paragraph(tell_origin(reference)), table_html(shown)]


def write_report(results: Path, rows: pd.DataFrame, figures: Iterable[Figure]) -> Path:
    """Write results/report.html: one page, no network, with hopes, figures, scores and parameters."""
    path = results / "report.html"
    reference = find_reference(results.name)
    minimal = [image_html(image) for image in sorted((results / "minimal_model").glob("*.svg"))]
    body = [
        paragraph(INTRODUCTION),
        paragraph(summarise(rows)),
        *(paragraph(f"⚠ {sentence}") for sentence in read_mixed(results)),
        heading("What was hoped for, and what came out"),
        paragraph(RULES),
        *hopes_html(judge_claims(rows, judged=find_judged(results), reference=reference)),
        heading("Beside the reference"),
        *reference_html(rows, reference),
        heading("Figures"),
        paragraph("Point at a mark for its numbers; click a strategy in a legend to bring it out."),
        *(figure_html(figure.name, figure.chart, figure.reading) for figure in figures),
        heading("Scores at the last step"),
        paragraph(SCORES_NOTE),
        *map(paragraph, filter(None, [gaps(rows, SCORES), unjudged(rows)])),
        table_html(wide_table(scores_table(usual_rows(rows)))),
        heading("The minimal model"),
        *(minimal or [paragraph("Notebook 01_minimal_model has not been run with these results.")]),
        heading("Parameters of the runs"),
        table_html(read_parameters(results)),
        heading("Where this report comes from"),
        table_html(read_origin()),
    ]
    write_page(path, "In-context and in-weights mixtures by contrastive context sampling", body)
    return path


def summarise(rows: pd.DataFrame) -> str:
    """Return one line: what was run."""
    columns = {"tasks": "task", "models": "model", "strategies": "strategy", "seeds": "seed"}
    parts = [f"{name}: {', '.join(map(str, sorted(set(rows[col]))))}" for name, col in columns.items()]
    return f"{len(rows)} measured numbers; {'; '.join(parts)}; last step: {rows['step'].max()}."


def hopes_html(table: pd.DataFrame) -> list[str]:
    """Return a line that counts the verdicts, and the hopes with their rules and verdicts as a table."""
    if table.empty:
        return [paragraph("None of the strategies that the hopes are about was run.")]
    counts = table["verdict"].value_counts()
    count = "; ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    changes = zip(table["score"], table["base"], table["value"], strict=True)
    measures = zip(table["measure"], table["low"], table["high"], strict=True)
    p = table["p"].map(lambda p: "" if pd.isna(p) else f"{p:.3f}")
    shown = table[["task", "model"]].assign(
        kind=table["primary"].map({True: "primary", False: "descriptive"}),
        hope=table["strategy"] + ": " + table["hope"],
        change=[f"{score}: {base:.2f} → {value:.2f}" for score, base, value in changes],
        rule=table["rule"],
        measure=[f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in measures],
        p=p,
        verdict=table["verdict"].map(lambda verdict: f"{VERDICT_MARKS[verdict]} {verdict}"),
    )
    for column, word in (("change", "not measured"), ("measure", "none")):
        shown[column] = shown[column].str.replace("nan", word)
    names = {"change": "base → strategy", "measure": "what the rule bounds (95% interval)"}
    return [paragraph(f"Of {len(table)} hopes: {count}."), table_html(shown.rename(columns=names))]
