"""From tidy rows to means over seeds with their intervals, and the headline scores of each strategy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ccutils.errors import InputError
from ccutils.records import BASELINE_FILE, BASELINES, ORDER, PROBES, Row, check_strategies, read_rows
from ccutils.report.intervals import Z, errors_of, interval_over_seeds

KEYS = ["task", "model", "strategy", "variant", "step", "set", "probe", "grade"]
"""Columns that identify a measured quantity; its rows differ by seed alone."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A headline number: a probe on one set with `grade` relevant examples; None is the task's largest."""

    name: str
    probe: str
    set: str
    grade: float | None

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of this score."""
        chosen = rows[(rows["probe"] == self.probe) & (rows["set"] == self.set)]
        largest = chosen.groupby("task")["grade"].transform("max")
        return chosen[chosen["grade"] == (largest if self.grade is None else self.grade)]


IWL = Headline("IWL-score", "iwl", "id", 0)
OVERRIDE = Headline("ICL-score, override", "icl", "id", 1)
NOVEL = Headline("ICL-score, novel", "quality", "ood", 1)
COPY = Headline("Copy-score", "copy", "id", 0)
EXCESS = Headline("Copy-score, above chance", "copy_excess", "id", 0)
BLIND = Headline("copied label, 1 relevant", "blind", "ood", 1)
KNOWN = Headline("quality ID, 1 relevant", "quality", "id", 1)
EMPTY_CONTEXT = Headline("quality ID, no context", "empty", "id", 0)
ALL_RELEVANT = Headline("quality OOD, all relevant", "quality", "ood", None)
COPIED = Headline("copied irrelevant label, 0 relevant", "copy_rate", "id", 0)
RETRIEVED_ID = Headline("quality ID, k nearest", "retrieved", "id", 0)
RETRIEVED_OOD = Headline("quality OOD, k nearest", "retrieved", "ood", 0)
SCORES = (
    IWL,
    OVERRIDE,
    NOVEL,
    COPY,
    EXCESS,
    BLIND,
    KNOWN,
    EMPTY_CONTEXT,
    RETRIEVED_ID,
    RETRIEVED_OOD,
)
"""The scores that are compared with the reference."""
SUMMARY = {
    "knowledge": IWL,
    "one relevant": NOVEL,
    "all relevant": ALL_RELEVANT,
    "k nearest": RETRIEVED_OOD,
    "copied irrelevant label": COPIED,
}
"""The columns of the table that README and report begin with."""


def find_rows(results: Path) -> pd.DataFrame:
    """Read all rows below a results folder. Raises InputError if there are none."""
    paths = sorted(results.rglob("probes.parquet"))
    rows = read_rows(paths) if paths else pd.DataFrame()
    if rows.empty:
        what = "contains no rows in a probes.parquet" if results.is_dir() else "does not exist"
        raise InputError(
            f"Results folder {results} {what}: run notebooks 03_ic_train and then 04_probes with the same "
            "`results`, or ./reproduce.sh for the whole chain."
        )
    return check_rows(rows)


def check_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the measured rows (n > 0). Raises InputError for a missing column, unknown probe or strategy."""
    missing = [name for name in Row.__dataclass_fields__ if name not in rows]
    if missing:
        raise InputError(f"Rows of results lack the column {missing[0]!r}: run notebook 04_probes again.")
    unknown = sorted(set(rows["probe"]) - set(PROBES))
    if unknown:
        raise InputError(
            f"Rows of results have the unknown probe {unknown[0]!r}: known are {', '.join(PROBES)}."
        )
    check_strategies(rows["strategy"])
    return rows[(rows["n"] > 0) & rows["value"].notna()].reset_index(drop=True)


def gaps(rows: pd.DataFrame, wanted: Sequence[Headline]) -> str:
    """Write a sentence that names the scores with too few answers, and where; "" if there are none."""
    runs, parts = _runs(rows), []
    for score in wanted:
        without = [run for run in runs if run not in _runs(score.of(rows))]
        where = "" if len(without) == len(runs) else f" ({'; '.join(map(', '.join, without))})"
        parts += [score.name + where] if without else []
    if not parts:
        return ""
    advice = "more rows, a larger n_targets or outputs that repeat would give some"
    copy = " The Copy-score counts wrong answers alone." if any(COPY.name in part for part in parts) else ""
    return f"Too few answers for {'; '.join(parts)}: {advice}.{copy}"


def unjudged(rows: pd.DataFrame) -> str:
    """Write a sentence that counts the answers that could not be scored, and where; "" if all were."""
    found = rows[rows["probe"] == "unjudged"]
    if found.empty:
        return ""
    n = round(float((found["value"] * found["n"]).sum()))
    where = "; ".join(map(", ".join, _runs(found)))
    return f"{n} answers could not be scored and are in none of the numbers ({where})."


def _runs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """List task and model of all rows."""
    return sorted(set(zip(rows["task"], rows["model"], strict=True)))


def base_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of step 0, one for each seed, as strategy `base`.

    Before training all strategies are the same model on the same questions: where several measured it, their
    numbers are averaged.
    """
    start = usual_rows(rows[rows["step"] == 0]).assign(strategy="base", variant="")
    numbers = {"value": "mean", "n": "max", "low": "mean", "high": "mean"}
    return start.groupby([*KEYS, "seed"], as_index=False).agg(numbers)


def usual_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of strategies without a variant, and of strategies that were run in a single variant.

    All rows if every strategy was run in several variants only.
    """
    variants = rows.groupby(["task", "model", "strategy"])["variant"].transform("nunique")
    usual = rows[(rows["variant"] == "") | (variants == 1)]
    return usual if len(usual) else rows


def final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of `base`, and of each strategy at its last step (of the seeds that reached it)."""
    trained = rows[rows["step"] > 0]
    last = trained.groupby(["task", "model", "strategy", "variant"])["step"].transform("max")
    return pd.concat([base_rows(rows), trained[trained["step"] == last]], ignore_index=True)


def over_seeds(rows: pd.DataFrame, by: Sequence[str] = KEYS) -> pd.DataFrame:
    """Average over seeds: columns `by`, value, low, high, seeds, n (all items), interval (in words).

    low and high bound the 95% interval over seeds and targets (`interval_over_seeds`), clipped to the range
    of the score; for one seed the interval over its targets, at least as wide as `errors_of` has it.
    """
    keyed = rows.assign(error=errors_of(rows))
    # Slices of one array: a frame for each quantity would take most of the report's time.
    number = keyed.groupby([*by], sort=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    numbers = keyed[["seed", "value", "error", "low", "high", "n"]].to_numpy(np.float64)[order]
    parts = np.split(numbers, np.flatnonzero(np.diff(number[order])) + 1)
    lines = [_mean_of_seeds(part) for part in parts if len(part)]
    keys = keyed[[*by]].drop_duplicates().sort_values([*by]).reset_index(drop=True)
    return pd.concat([keys, pd.DataFrame(lines, columns=MEANS)], axis=1)


MEANS = ["value", "low", "high", "seeds", "n", "interval"]


def _mean_of_seeds(part: NDArray[np.float64]) -> tuple[float, float, float, int, int, str]:
    """Compute the columns MEANS of one quantity from rows of seed, value, error, low, high, n."""
    seed, value, error, lows, highs, n = part.T
    seeds = len(np.unique(seed))
    if len(part) > 1:
        low, high = interval_over_seeds(value, error)
    elif highs[0] - lows[0] < 2 * (half := Z * error[0]) - 1e-9:  # too narrow for so few answers
        low, high = value[0] - half, value[0] + half
    else:
        low, high = lows[0], highs[0]
    low, high = max(low, min(0.0, lows.min())), min(high, max(1.0, highs.max()))
    words = f"{low:.2f} to {high:.2f} ({f'{seeds} seeds' if seeds > 1 else 'items of one seed'})"
    return float(value.mean()), float(low), float(high), seeds, int(n.sum()), words


def find_baselines(results: Path) -> pd.DataFrame | None:
    """Read the rows of baselines without a model below a results folder; None if there are none."""
    paths = sorted(results.rglob(BASELINE_FILE))
    return read_rows(paths) if paths else None


def scores_table(
    rows: pd.DataFrame,
    scores: Mapping[str, Headline] | None = None,
    baselines: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Average scores over seeds: a line for each task, model, strategy (or base) and score.

    `scores` are by the name to show, by default SCORES. `baselines` (`find_baselines`) are added to each
    model."""
    scores = scores or {score.name: score for score in SCORES}
    final = final_rows(rows)
    if baselines is not None:
        seeds = final[["task", "model", "seed"]].drop_duplicates()
        final = pd.concat([final, baselines.drop(columns="model").merge(seeds, on=["task", "seed"])])
    parts = [over_seeds(score.of(final)).assign(score=name) for name, score in scores.items()]
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    places = (
        table["score"].map(list(scores).index),
        table["strategy"].map([*ORDER, *BASELINES].index),
        table["model"],
        table["task"],
    )
    return table.iloc[np.lexsort(places)].reset_index(drop=True)


def summary_table(rows: pd.DataFrame, baselines: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay out SUMMARY at the last step: a line for each task, model and strategy, base or baseline."""
    return wide_table(scores_table(rows, SUMMARY, baselines))


def write_number(value: float, low: float, high: float) -> str:
    """Write a score with its interval.

    >>> write_number(0.944, 0.9, 0.97)
    '0.94 (0.90–0.97)'
    """
    between = " to " if low < 0 else "–"
    return f"{value:.2f} ({low:.2f}{between}{high:.2f})"


def with_noun(n: int, what: str) -> str:
    """Write a number with its noun.

    >>> with_noun(1, "seed"), with_noun(8, "seed")
    ('1 seed', '8 seeds')
    """
    return f"{n} {what}{'s' * (n != 1)}"


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Lay `scores_table` out for reading: a line for each strategy, a column for each score."""
    keys = ["task", "model", "strategy"]
    text = list(map(write_number, table["value"], table["low"], table["high"]))
    lines = table.assign(text=text).pivot(index=keys, columns="score", values="text")
    facts = table.groupby(keys)[["step", "seeds"]].max()
    index = pd.MultiIndex.from_frame(table[keys].drop_duplicates())
    order = [name for name in (*SUMMARY, *(score.name for score in SCORES)) if name in lines]
    return lines[order].join(facts).reindex(index).fillna("–").reset_index().rename_axis(columns=None)
