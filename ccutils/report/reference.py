"""Reference rows, measured once and kept in the repository, and a run's numbers beside them.

Write them from the results of a profile:
python -m ccutils.report.reference results/cpu cpu
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccutils.errors import InputError, command
from ccutils.records import BASELINE_FILE, ELSEWHERE, atomic, read_json
from ccutils.report.aggregate import SCORES, Headline, check_rows, final_rows, usual_rows
from ccutils.report.intervals import interval_over_seeds
from ccutils.report.paired import (
    ANSWER_COLUMNS,
    RUN_COLUMNS,
    compare_differences,
    find_judged,
    paired_difference,
)

FOLDER = Path(__file__).resolve().parents[2] / "data" / "reference"
OF_OTHER_TASKS = "-elsewhere"
"""What follows a profile's name in that of its rows of tasks that were not trained on."""
OF_BASELINES = "-baselines"
"""The same for its rows of baselines without a language model."""
OF_ANSWERS = "-answers"
"""The same for its scored answers, one row each, without texts."""
ORIGIN = ("commit", "processor", "versions", "date")
"""The columns of a reference's rows that say where they come from."""
EXPECTED = 0.93
"""The share of numbers that should agree: a little less than the 95% of their intervals, as some are few."""
SIDES = ("yours", "reference")
ROUNDING = 1e-9
COMPARISON_COLUMNS = ["task", "model", "strategy", "score", "yours", "reference"]
COMPARISON_COLUMNS += ["difference", "low", "high", "seeds", "agrees"]


def write_reference(results: Path, profile: str, folder: Path = FOLDER) -> list[Path]:
    """Write the rows of all runs below `results`, each with its run's origin, to folder/<profile>.parquet.

    Rows of transfer tasks go to folder/<profile>-elsewhere.parquet, those of baselines to
    <profile>-baselines.parquet, scored answers (at step 0 and the last step) to <profile>-answers.parquet.
    Rows of other runs in these files stay, so that a long profile's reference grows as its jobs end. Raises
    InputError where there is nothing to write, or a run has no origin.
    """
    files = {"": "probes.parquet", OF_OTHER_TASKS: ELSEWHERE, OF_BASELINES: BASELINE_FILE}
    tables = {name: _rows_with_origin(results, file) for name, file in files.items()}
    if all(table is None for table in tables.values()):
        raise InputError(f"Results folder {results} contains no probes.parquet: run ./reproduce.sh first.")
    answers = find_judged(results)
    if answers is not None:
        small = {"seed": "int16", "step": "int32", "grade": "int8", "target": "int32"}
        answers = answers[ANSWER_COLUMNS].astype(small)
    tables[OF_ANSWERS] = answers
    return [
        _add_runs(folder / f"{profile}{name}.parquet", table)
        for name, table in tables.items()
        if table is not None
    ]


def _rows_with_origin(results: Path, file: str) -> pd.DataFrame | None:
    """Read the rows in all files of a name below `results`, with their origin; None without any."""
    tables = []
    for path in sorted(results.rglob(file)):
        origin = (read_json(path.with_suffix(".json")) or {}).get("origin")
        if not origin:
            raise InputError(f"The run in {path.parent} has no record of its origin: probe it again (04).")
        tables.append(pd.read_parquet(path).assign(**{name: origin[name] for name in ORIGIN}))
    if not tables:
        return None
    rows = pd.concat(tables, ignore_index=True)
    return rows if file == BASELINE_FILE else check_rows(rows)


def _add_runs(path: Path, table: pd.DataFrame) -> Path:
    """Add runs to a reference file in place of those with the same key; it is never half-written."""
    if path.is_file():
        old = pd.read_parquet(path)
        again = pd.MultiIndex.from_frame(old[RUN_COLUMNS]).isin(pd.MultiIndex.from_frame(table[RUN_COLUMNS]))
        table = pd.concat([old[~again], table], ignore_index=True)
    table = table.sort_values([*RUN_COLUMNS, "step"], kind="stable", ignore_index=True)
    with atomic(path) as part:
        table.to_parquet(part, index=False, compression="zstd", compression_level=19)
    return path


def find_reference(profile: str, folder: Path = FOLDER) -> pd.DataFrame | None:
    """Read the reference rows of a profile; None if there are none."""
    rows = _read(folder / f"{profile}.parquet")
    return None if rows is None else check_rows(rows)


def find_baselines_of(profile: str, folder: Path = FOLDER) -> pd.DataFrame | None:
    """Read the rows of baselines of a profile's reference; None if there are none."""
    return _read(folder / f"{profile}{OF_BASELINES}.parquet")


def find_answers(profile: str, folder: Path = FOLDER) -> pd.DataFrame | None:
    """Read the scored answers of a profile's reference (ANSWER_COLUMNS); None if there are none."""
    return _read(folder / f"{profile}{OF_ANSWERS}.parquet")


def _read(path: Path) -> pd.DataFrame | None:
    return pd.read_parquet(path) if path.is_file() else None


def compare_rows(
    rows: pd.DataFrame,
    reference: pd.DataFrame,
    judged: pd.DataFrame | None = None,
    answers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare each headline score at the last step with the reference's: columns COMPARISON_COLUMNS.

    Seeds that both have are compared with each other, with `judged` (`find_judged`) and the reference's
    `answers` (`find_answers`) target by target; without common seeds means are compared. A score agrees if
    the 95% interval of the difference contains 0. What only one of both has is left out.
    """
    keys = ["task", "model", "strategy"]
    final = [dict(list(final_rows(usual_rows(table)).groupby(keys))) for table in (rows, reference)]
    given = [usual_rows(table) for table in (judged, answers) if table is not None]
    lines = []
    for key in sorted(set(final[0]) & set(final[1])):
        both = pd.concat([part[key].assign(strategy=name) for part, name in zip(final, SIDES, strict=True)])
        together: pd.DataFrame | None = None
        if len(given) == len(SIDES):
            yours, theirs = (_answers_of(part, *map(str, key)) for part in given)
            together = pd.concat([yours.assign(strategy=SIDES[0]), theirs.assign(strategy=SIDES[1])])
        for score in SCORES:
            if set(SIDES) <= set(score.of(both)["strategy"]):
                lines.append((*key, score.name, *_compare(both, score, together)))
    return pd.DataFrame(lines, columns=COMPARISON_COLUMNS)


def _answers_of(answers: pd.DataFrame, task: str, model: str, strategy: str) -> pd.DataFrame:
    """Select the answers of a strategy; those of the base are of step 0, whichever run asked it."""
    mine = (answers["task"] == task) & (answers["model"] == model)
    return answers[mine & (answers["step"].eq(0) if strategy == "base" else answers["strategy"].eq(strategy))]


def _compare(both: pd.DataFrame, score: Headline, answers: pd.DataFrame | None) -> tuple[float | bool, ...]:
    """Compare a score of the two SIDES: the columns of a comparison from "yours" on."""
    found = paired_difference(both, score, *SIDES, judged=answers)
    if found.seeds:
        low, high = interval_over_seeds(found.by_seed, found.errors)
    else:
        _, low, high = compare_differences(*(paired_difference(both, score, side) for side in SIDES))
    values = score.of(both).pivot(index="seed", columns="strategy", values="value")
    means = (values.loc[found.by_seed.index] if found.seeds else values).mean()[[*SIDES]].tolist()
    agrees = low - ROUNDING <= 0 <= high + ROUNDING
    return *means, means[0] - means[1], low, high, found.seeds, agrees


def tell_agreement(table: pd.DataFrame) -> str:
    """Count the numbers that agree with the reference, and say what it means."""
    if table.empty:
        return "The reference and these rows have no number in common."
    agreeing, share = int(table["agrees"].sum()), float(table["agrees"].mean())
    start = f"{agreeing} of {len(table)} numbers ({share:.0%}) agree with the reference. "
    if share == 1:
        return start + "This machine reproduces it."
    if share >= EXPECTED:
        return start + (
            "About 5 in 100 intervals miss by chance alone, so this machine reproduces the reference."
        )
    return start + (
        "That is fewer than chance explains: check whether parameters, data or versions differ from the "
        "reference's. If none does, these numbers do not carry over to this machine."
    )


def tell_origin(reference: pd.DataFrame) -> str:
    """Describe where the reference rows come from."""
    parts = [f"{name} {'; '.join(sorted(set(reference[name])))}" for name in ORIGIN]
    return f"Reference: seeds {', '.join(map(str, sorted(set(reference['seed']))))}, {', '.join(parts)}."


@command
def main(arguments: Sequence[str]) -> None:
    """Write the reference rows of RESULTS as PROFILE."""
    if len(arguments) != 2:
        raise InputError("Give two arguments, a results folder and the name of a profile: results/cpu cpu.")
    for path in write_reference(Path(arguments[0]), arguments[1]):
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
