"""Where results lie, and the one shape that every measured number has."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd  # in functions, since the command line reads this before anything is installed

FREE_BYTES = 200 * 2**20  # below this a run would fail half-way
STRATEGIES = ("none", "random", "similar", "batch_mix", "contrastive")
"""Context strategies in the order of every legend and table; ccutils.contexts.Strategy defines them."""
CONTEXT_STRATEGIES = STRATEGIES[1:]
"""Strategies with demonstrations."""
ORDER = ("base", *STRATEGIES)
"""The order of legends and tables with `base`, the model before fine-tuning."""
BASELINES = ("majority", "nearest", "classifier", "gated")
"""Baselines without a language model, in the order of tables."""
BASELINE_FILE = "baselines.parquet"
MODEL_FOLDER = "{task}/{model}"
RUN_FOLDER = MODEL_FOLDER + "/{strategy}/seed-{seed}"
"""Where runs lie in a results folder; the Snakefile takes the same."""
ELSEWHERE = "elsewhere.parquet"
"""A run's rows of tasks that it was not trained on; their `set` is the task that was asked."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number; a Parquet file of these rows is all that figures read.

    `step` is the optimiser step (0: not fine-tuned). `set` is "id" or "ood". `probe` is one of PROBES.
    `grade` is the number of relevant examples, or for `similarity` the middle of the bin, in [0, 1].
    `value` is a mean over `n` items; `low` and `high` bound its 95% bootstrap interval over the items.
    `value`, `low` and `high` are NaN where n is 0. `variant` and `base` are those of Run.
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
    variant: str = ""
    base: str = ""


PROBES: Mapping[str, str] = {
    "quality": "quality with `grade` relevant examples among k",
    "empty": "quality without a context",
    "retrieved": "quality with the k most similar of all labelled examples as context",
    "nearest_label": "score of the most similar example's label as an answer: a baseline without a model",
    "similarity": "quality by similarity of the target to its most similar demonstration, the same targets "
    "compared across similarities",
    "iwl": "IWL-score: quality with nothing relevant in the context",
    "icl": "ICL-score, override: share of answers that follow a relevant example whose label was changed",
    "icl_known": "the same for targets that the weights answer correctly with nothing relevant; older rows",
    "icl_unknown": "the same for the other targets; older results",
    "copy": "Copy-score: of the wrong answers with nothing relevant in the context, the share that repeats a "
    "label of the context",
    "copy_rate": "the same as a share of all answers",
    "copy_chance": "share of the same wrong answers that repeats a label of another target's context",
    "copy_excess": "Copy-score minus that chance level, from -1 to 1",
    "blind": "copied irrelevant label: with one relevant example, share of answers that are wrong and the "
    "label of an irrelevant one",
    "gain": "quality with one relevant example minus quality with none, of the same targets, from -1 to 1",
    "gate": "share of answers that are a label in the context, with `grade` relevant examples among k",
    "choice": "share of those that are the relevant example's label, with one relevant example",
    "intrusion": "share of answers neither right nor a label in the context, with one relevant example",
    "hard": "quality with one relevant example among similar irrelevant ones (hard negatives)",
    "hard_choice": "choice with hard negatives",
    "hard_changed": "override with hard negatives: share of answers that follow the changed label",
    "mislabelled": "with a wrong label on one irrelevant example: IWL-score (grade 0), or override with hard "
    "negatives (grade 1)",
    "mislabelled_followed": "share of the same answers that are that wrong label",
    "nearest_first": "as `retrieved`, with the most similar example first",
    "nearest_last": "as `retrieved`, with the most similar example last",
    "noisy_10": "as `retrieved`, with 10% of all stored labels wrong",
    "noisy_25": "as `retrieved`, with 25% of all stored labels wrong",
    "unjudged": "share of the answers that could not be scored; a row only where there are some",
}
"""What is measured. ICL-score, novel, is `quality` on the OOD set with one relevant example; `gain` there is
novel minus zero relevant. Headlines that no simple rule solves: `iwl` (ID), `hard` (OOD) and `mislabelled`
with grade 1 (tests/probes/test_baselines.py). With all k relevant, copying any label is right. Gate, choice,
intrusion and `mislabelled_followed` are measured only where labels repeat (ccutils.probes.judged)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run, by everything that tells it from another of its results folder, and its folder.

    `variant` says what of the strategy differs from the profile's, such as "epsilon=0,p=0.3" (see
    ccutils.contexts.read_variant); `base` names the base model where a seed has not its own usual one.

    >>> Run(Path("results"), "topics", "org/name", "contrastive", 0, "p=0.3").folder.as_posix()
    'results/topics/org--name/contrastive,p=0.3/seed-0'
    """

    root: Path
    task: str
    model: str
    strategy: str
    seed: int
    variant: str = ""
    base: str = ""

    @property
    def folder(self) -> Path:
        """Where the run keeps its checkpoints, answers and rows."""
        strategy = ",".join(filter(None, [self.strategy, self.variant]))
        seed = f"{self.seed},base-{self.base}" if self.base else str(self.seed)
        where = RUN_FOLDER.format(
            task=self.task, model=model_folder(self.model), strategy=strategy, seed=seed
        )
        return self.root / where

    @property
    def model_folder(self) -> Path:
        """Where what all runs of its task and model share is kept."""
        return self.root / MODEL_FOLDER.format(task=self.task, model=model_folder(self.model))


def model_folder(model: str) -> str:
    """Name the folder of a model's runs: a Hub id without slashes, or the last part of a path.

    A results folder that is moved together with a local model keeps its runs.

    >>> model_folder("org/name"), model_folder("/home/me/models/mine")
    ('org--name', 'mine')
    """
    path = Path(model).expanduser()
    if path.is_absolute() or model.startswith(".") or os.path.isdir(path):
        return path.resolve().name
    return model.strip("/").replace("/", "--")


def write_rows(path: Path, rows: Iterable[Row], parameters: Mapping[str, Any]) -> None:
    """Write rows as Parquet and the run's parameters beside them as JSON, each whole or not at all."""
    import pandas as pd

    table = pd.DataFrame([asdict(row) for row in rows], columns=list(Row.__dataclass_fields__))
    with atomic(path) as part:
        table.to_parquet(part, index=False)
    write_json(path.with_suffix(".json"), dict(parameters))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write to: it replaces `path` when the block ends, and is removed if the block fails.

    Links are followed, and an existing file's permissions are preserved. A device or a pipe cannot be
    replaced: it is written in place.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def hash_prompt(prompt: Any) -> str:
    """Return the key of a prompt (token ids, text or messages) in a file of answers."""
    return hashlib.sha256(json.dumps(prompt).encode()).hexdigest()[:32]


def read_answers(path: Path) -> dict[str, str]:
    """Read answers by `hash_prompt`, of a file that may end in the middle of a line or not exist."""
    found = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else ():
        try:
            key, text = json.loads(line)
        except ValueError:
            continue
        found[str(key)] = str(text)
    return found


def read_rows(paths: Sequence[Path]) -> "pd.DataFrame":
    """Return all rows of several Parquet files as one frame."""
    import pandas as pd

    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def check_results_folder(folder: Path) -> None:
    """Make the results folder and write to it. Raises InputError if it is read-only or full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(
            f"results folder {folder} cannot be written to ({why}): choose another by the parameter "
            "results (--set results=FOLDER)."
        ) from error
    if free < FREE_BYTES:
        raise InputError(
            f"results folder {folder} has {free >> 20} MB left and a run needs {FREE_BYTES >> 20}: "
            "free some, or choose another by the parameter results (--set results=FOLDER)."
        )


def check_strategies(names: Iterable[str]) -> list[str]:
    """Return the distinct names in the order of ORDER. Raises InputError for one that has no colour.

    >>> check_strategies(["contrastive", "base", "random"])
    ['base', 'random', 'contrastive']
    """
    present = set(names)
    unknown = sorted(present - set(ORDER))
    if unknown:
        raise InputError(f"strategy {unknown[0]!r} is unknown: known are {', '.join(ORDER)}.")
    return [name for name in ORDER if name in present]
