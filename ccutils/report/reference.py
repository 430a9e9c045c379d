"""Reference rows, measured once and kept in the repository, and a run's numbers beside them.

Write them from the results of a profile:
python -m ccutils.report.reference results/cpu cpu
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ccutils.errors import InputError, command
from ccutils.records import ELSEWHERE, atomic, read_json
from ccutils.report.aggregate import SCORES, check_rows, final_rows, usual_rows
from ccutils.report.intervals import difference_interval, errors_of

FOLDER = Path(__file__).resolve().parents[2] / "data" / "reference"
OF_OTHER_TASKS = "-elsewhere"
"""What follows a profile's name in that of its rows of tasks that were not trained on."""
ORIGIN = ("commit", "processor", "versions", "date")
"""What each row of a reference says of where it comes from."""
RUN_COLUMNS = ["task", "model", "strategy", "variant", "seed"]
"""The columns that tell one run from another."""
EXPECTED = 0.93
"""The share of numbers that should agree: a little less than the 95% of their intervals, as some are few."""
COMPARISON_COLUMNS = [
    "task",
    "model",
    "strategy",
    "score",
    "yours",
    "reference",
    "difference",
    "low",
    "high",
    "agrees",
]


def write_reference(results: Path, profile: str, folder: Path = FOLDER) -> Path:
    """Write the rows of all runs below `results`, each with its run's origin, to folder/<profile>.parquet.

    Rows of other runs that are there stay, so that a long profile's reference grows as its jobs end. Rows of
    tasks that were not trained on go to folder/<profile>-elsewhere.parquet. Raises InputError where there are
    no runs, or one does not say where it comes from.
    """
    path = _write_kept(results, "probes.parquet", profile, folder)
    if path is None:
        raise InputError(f"results folder {results} holds no probes.parquet: run ./reproduce.sh first.")
    _write_kept(results, ELSEWHERE, profile + OF_OTHER_TASKS, folder)
    return path


def _write_kept(results: Path, file: str, profile: str, folder: Path) -> Path | None:
    """Write the rows in all files of a name below `results` to folder/<profile>.parquet; None without any."""
    tables = []
    for path in sorted(results.rglob(file)):
        origin = (read_json(path.with_suffix(".json")) or {}).get("origin")
        if not origin:
            raise InputError(
                f"the run in {path.parent} does not say where it comes from: probe it again (04)."
            )
        tables.append(pd.read_parquet(path).assign(**{name: origin[name] for name in ORIGIN}))
    if not tables:
        return None
    table = check_rows(pd.concat(tables, ignore_index=True))
    kept = find_reference(profile, folder)
    if kept is not None:
        again = pd.MultiIndex.from_frame(kept[RUN_COLUMNS]).isin(pd.MultiIndex.from_frame(table[RUN_COLUMNS]))
        table = pd.concat([kept[~again], table], ignore_index=True)
    table = table.sort_values([*RUN_COLUMNS, "step"], kind="stable", ignore_index=True)
    path = folder / f"{profile}.parquet"
    with atomic(path) as part:
        table.to_parquet(part, index=False, compression="zstd")
    return path


def find_reference(profile: str, folder: Path = FOLDER) -> pd.DataFrame | None:
    """Return the reference rows of a profile; None where none are kept."""
    path = folder / f"{profile}.parquet"
    return check_rows(pd.read_parquet(path)) if path.is_file() else None


def compare_rows(rows: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Set each headline score at the last step beside the reference's: columns COLUMNS.

    A score agrees where the 95% interval of the difference of the two means over seeds holds 0. What only one
    of both has is left out.
    """
    keys = ["task", "model", "strategy"]
    ours, theirs = (final_rows(usual_rows(table)) for table in (rows, reference))
    lines = []
    for score in SCORES:
        sides = [of.assign(error=errors_of(of)) for of in (score.of(ours), score.of(theirs))]
        groups = [dict(list(side.groupby(keys))) for side in sides]
        for key in groups[0]:
            if key in groups[1]:
                mine, other = groups[0][key], groups[1][key]
                values = [list(part[name]) for part in (mine, other) for name in ("value", "error")]
                found = difference_interval(*values)
                means = (float(mine["value"].mean()), float(other["value"].mean()))
                lines.append((*key, score.name, *means, *found, found[1] <= 0 <= found[2]))
    return pd.DataFrame(lines, columns=COMPARISON_COLUMNS).sort_values(keys, kind="stable", ignore_index=True)


def tell_agreement(table: pd.DataFrame) -> str:
    """Say how many numbers agree with the reference, and what it means."""
    if table.empty:
        return "The reference and these rows have no number in common."
    agreeing, share = int(table["agrees"].sum()), float(table["agrees"].mean())
    start = f"{agreeing} of {len(table)} numbers ({share:.0%}) agree with the reference. "
    if share == 1:
        return start + "This machine reproduces it."
    if share >= EXPECTED:
        return start + (
            "Of intervals that hold in 95 of 100 cases, a few that miss are what chance alone gives: this "
            "machine reproduces the reference."
        )
    return start + (
        "That is fewer than chance explains: look whether parameters, data or versions differ from the "
        "reference's; if none does, the numbers that miss do not carry over to this machine."
    )


def tell_origin(reference: pd.DataFrame) -> str:
    """Say where the reference rows come from."""
    if not set(ORIGIN) <= set(reference):
        return "These reference rows do not say where they come from."
    parts = [f"{name} {'; '.join(sorted(set(reference[name])))}" for name in ORIGIN]
    return f"Reference: seeds {', '.join(map(str, sorted(set(reference['seed']))))}, {', '.join(parts)}."


@command
def main(arguments: Sequence[str]) -> None:
    """Write the reference rows of RESULTS as PROFILE."""
    if len(arguments) != 2:
        raise InputError("give two arguments, a results folder and a profile's name: results/cpu cpu.")
    print(f"written: {write_reference(Path(arguments[0]), arguments[1])}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
