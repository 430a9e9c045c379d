"""Where results lie, and the one shape that every measured number has."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number; a Parquet file of these rows is all that figures read.

    `step` is the optimiser step (0: not fine-tuned). `set` is "id" or "ood". `probe` is one of PROBES.
    `grade` is the number of relevant examples, or for `similarity` the middle of the bin, in [0, 1].
    `value` is a mean over `n` items; `low` and `high` bound its 95% bootstrap interval over the items.
    `value`, `low` and `high` are NaN where n is 0.
    """

    task: str
    model: str
    strategy: str
    seed: int
    step: int
    set: str
    probe: str
    grade: float
    value: float
    n: int
    low: float
    high: float


PROBES: Mapping[str, str] = {
    "quality": "quality, with `grade` relevant examples among k",
    "similarity": "quality, by similarity of the target to its most similar context example",
    "iwl": "IWL-score: quality with a context that holds nothing relevant",
    "icl": "ICL-score: how often the answer follows a relevant example whose label was changed",
    "copy": "Copy-score: of the wrong answers with nothing relevant at hand, the share that repeats a label "
    "of the context",
    "copy_rate": "the same, of all answers",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run and its folder, results/<profile>/<task>/<model>/<strategy>/seed-<n>."""

    root: Path
    task: str
    model: str
    strategy: str
    seed: int

    @property
    def folder(self) -> Path:
        model = self.model.strip("/").replace("/", "--")
        return self.root / self.task / model / self.strategy / f"seed-{self.seed}"


def write_rows(path: Path, rows: Iterable[Row], parameters: Mapping[str, Any]) -> None:
    """Write rows as Parquet and the run's parameters beside them as JSON, each whole or not at all."""
    table = pd.DataFrame([asdict(row) for row in rows], columns=list(Row.__dataclass_fields__))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    table.to_parquet(part, index=False)
    os.replace(part, path)
    write_json(path.with_suffix(".json"), dict(parameters))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read_rows(paths: Sequence[Path]) -> pd.DataFrame:
    """All rows of several Parquet files as one frame."""
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
