"""The report of a results folder: every figure drawn and saved, and one page that holds them all, offline."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ccutils.errors import InputError
from ccutils.origin import describe_origin
from ccutils.private import folders_in, hide_private
from ccutils.records import read_json
from ccutils.report import charts
from ccutils.report.ablations import ablations
from ccutils.report.aggregate import SCORES, gaps, scores_table, unjudged, usual_rows, wide_table
from ccutils.report.answers_page import answers_link, write_answers
from ccutils.report.claims import judge_claims
from ccutils.report.elsewhere import elsewhere, elsewhere_table, find_elsewhere
from ccutils.report.frontier import frontier
from ccutils.report.hopes import RULES, hopes_html, opening
from ccutils.report.page import figure_html, heading, image_html, paragraph, table_html, write_page
from ccutils.report.paired import find_judged
from ccutils.report.reference import compare_rows, find_reference, tell_agreement, tell_origin
from ccutils.report.sources import sources_html
from ccutils.style import save


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, the name of its files, and a line on how to read it."""

    name: str
    chart: Any
    reading: str


OF_A_RUN = ("seed", "recipe.seed", "strategy", "data")  # what may differ between runs that are compared

INTRODUCTION = (
    "A reproduction of the ideas of arXiv:2604.01601. Every number here was measured by this package "
    "on the runs listed below; none is the paper's. The definitions of the scores and tasks are ours "
    "too."
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
    "elsewhere": (
        "Few-shot questions of tasks that were not trained on, to the same models. With all examples "
        "relevant a model that has lost in-context learning altogether falls below the base; with one "
        "among irrelevant ones, also a model that no longer tells which example to follow."
    ),
    "context_structure": (
        "What each strategy shows the model in training: how similar the best example of each "
        "context is to its target. Strategy none has no contexts and is left out."
    ),
}

DRAWN: dict[str, Callable[[pd.DataFrame], Any]] = {
    "quality_by_similarity": charts.quality_by_similarity,
    "quality_by_relevance": charts.quality_by_relevance,
    "scores_over_training": charts.scores_over_training,
    "frontier": frontier,
    "scores_at_the_end": charts.scores_chart,
    "ablations": ablations,
    "elsewhere": elsewhere,
    "context_structure": charts.context_structure,
}
"""What draws each figure: from rows, but the last two from those of other tasks and the drawn contexts."""
OF_A_MODEL = tuple(DRAWN)[:-3]


def draw_figures(
    rows: pd.DataFrame, contexts: pd.DataFrame | None = None, others: pd.DataFrame | None = None
) -> list[Figure]:
    """Return every figure of the rows, one for each model, and those of the drawn contexts and of the rows of
    other tasks if given.

    What there are too few answers for is said in a figure's subtitle, or in its place.
    """
    figures = []
    for model, part in usual_rows(rows).groupby("model"):
        suffix = "" if rows["model"].nunique() == 1 else "-" + str(model).strip("/").replace("/", "--")
        for name in OF_A_MODEL:
            figures.append(Figure(name + suffix, DRAWN[name](part), READINGS[name]))
    if (rows["variant"] != "").any():
        figures.append(Figure("ablations", ablations(rows), READINGS["ablations"]))
    if others is not None:
        figures.append(Figure("elsewhere", elsewhere(others), READINGS["elsewhere"]))
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


def elsewhere_html(results: Path) -> list[str]:
    """Return the table of tasks that were not trained on; nothing where none was asked."""
    others = find_elsewhere(results)
    if others is None:
        return []
    return [
        heading("Tasks that were not trained on, at the last step"),
        paragraph("Quality with none, one and all of the examples relevant; intervals as above."),
        table_html(elsewhere_table(others)),
    ]


def write_report(results: Path, rows: pd.DataFrame, figures: Iterable[Figure]) -> Path:
    """Write results/report.html: one page, no network, with figures, hopes, scores and parameters; beside it
    answers.html, with the questions and answers behind them.

    It opens with a few sentences and the first figure. Of this machine's folders it tells none
    (`ccutils.private`).
    """
    path = results / "report.html"
    reference = find_reference(results.name)
    hopes = judge_claims(rows, judged=find_judged(results), reference=reference)
    scores = scores_table(usual_rows(rows))
    parameters, tables = read_parameters(results), sources_html(results, "tables")
    minimal = [image_html(image) for image in sorted((results / "minimal_model").glob("*.svg"))]
    drawn = [
        figure_html(figure.name, figure.chart, figure.reading)
        + answers_link(figure.name)
        + sources_html(results, figure.name)
        for figure in figures
    ]
    first, *others = drawn or [""]
    body = [
        *map(paragraph, opening(rows, scores, hopes)),
        *(paragraph(f"⚠ {sentence}") for sentence in read_mixed(results)),
        first,
        heading("What was hoped for, and what came out"),
        paragraph(RULES),
        *hopes_html(hopes),
        tables,
        heading("Beside the reference"),
        *reference_html(rows, reference),
        heading("Figures"),
        paragraph(
            "Point at a mark for its numbers, click it for the answers behind it; click a strategy in a "
            "legend to bring it out."
        ),
        *others,
        heading("Scores at the last step"),
        paragraph(SCORES_NOTE),
        *map(paragraph, filter(None, [gaps(rows, SCORES), unjudged(rows)])),
        table_html(wide_table(scores)),
        tables,
        *elsewhere_html(results),
        heading("The minimal model"),
        *(minimal or [paragraph("Notebook 01_minimal_model has not been run with these results.")]),
        sources_html(results, "minimal_model"),
        heading("Parameters of the runs"),
        table_html(parameters, "Parameters of the runs"),
        heading("Where this report comes from"),
        paragraph(INTRODUCTION),
        paragraph(summarise(rows)),
        table_html(read_origin(), "Where this report comes from"),
    ]
    public = hide_private(folders_in([str(results.resolve()), *parameters["value"]]))
    body = [part if part in minimal else public(part) for part in body]  # an image is base64: no path in it
    write_answers(results, public)
    write_page(path, "In-context and in-weights mixtures by contrastive context sampling", body)
    return path


def summarise(rows: pd.DataFrame) -> str:
    """Return one line: what was run."""
    columns = {"tasks": "task", "models": "model", "strategies": "strategy", "seeds": "seed"}
    parts = [f"{name}: {', '.join(map(str, sorted(set(rows[col]))))}" for name, col in columns.items()]
    return f"{len(rows)} measured numbers; {'; '.join(parts)}; last step: {rows['step'].max()}."
