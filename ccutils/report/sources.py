"""What a report was made of: the files behind each figure, and the command that makes it again."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ccutils.origin import COMMAND, hash_file
from ccutils.records import ELSEWHERE, model_folder
from ccutils.report.aggregate import with_noun


def files_behind(results: Path, figure: str) -> list[Path]:
    """Return the files of a results folder that a figure of the report was made of.

    `figure` is its name, with the model's where there are several; "minimal_model" is notebook 01's, "tables"
    stands for hopes and scores.
    """
    if figure == "minimal_model":
        return sorted((results / "minimal_model").glob("*.parquet"))
    if figure == "context_structure":
        return sorted(results.rglob("contexts.parquet"))
    if figure == "elsewhere":
        return sorted(results.rglob(ELSEWHERE))
    runs = [path for path in sorted(results.rglob("probes.parquet")) if path.stat().st_size]
    usual = usual_runs(runs)
    if figure != "ablations":
        runs = usual or runs
    models = {path.parts[-4] for path in runs}
    runs = [path for path in runs if len(models) == 1 or of_model(figure, path.parts[-4])]
    judged = [path.with_name("questions.parquet") for path in runs] if figure == "tables" else []
    return sorted([*runs, *(path for path in judged if path.exists())])


def usual_runs(runs: Sequence[Path]) -> list[Path]:
    """Return the files of strategies as `ccutils.report.aggregate.usual_rows` takes their rows: without a
    variant, or in a single one.
    """
    variants: dict[tuple[str, ...], set[str]] = {}
    for path in runs:
        variants.setdefault(strategy_of(path), set()).add(path.parts[-3])
    return [path for path in runs if "," not in path.parts[-3] or len(variants[strategy_of(path)]) == 1]


def strategy_of(path: Path) -> tuple[str, ...]:
    """Return task, model and strategy of a run's file, by its folders."""
    task, model, strategy = path.parts[-5:-2]
    return task, model, strategy.partition(",")[0]


def of_model(figure: str, model: str) -> bool:
    """Tell whether a figure is made of a model's runs, of several models in a folder."""
    return figure in ("tables", "ablations") or figure.endswith(f"-{model_folder(model)}")


def sources_html(results: Path, figure: str) -> str:
    """Return a line to open: the files of a figure with their hashes, and how to make it again."""
    files = files_behind(results, figure)
    lines = [f"{path.relative_to(results).as_posix()} ({hash_file(path)[:12]})" for path in files]
    again = os.environ.get(COMMAND)
    how = (
        f"<code>{escape(again)}</code>, once report.html is deleted"
        if again
        else "notebook 05_figures with this results folder (01_minimal_model for its own)"
    )
    return (
        f"<details><summary>Made of {with_noun(len(files), 'file')}</summary><p>Again by {how}. "
        f"Files, and the start of their SHA-256: {escape('; '.join(lines))}.</p></details>"
    )
