"""About how long each job of a profile will take on this machine, and how much disk: from one short timing.

Costs are those of the tiny base, counted in the piece of training that `ccutils.chain.speed` times, so that
they hold on a faster or slower machine. Of any other model nothing is known before notebook 03 has timed it.
"""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccutils.chain.profiles import ROOT, Profile, declared_parameters
from ccutils.records import read_json, write_json

NOTEBOOKS = {
    "start": "00_start_here",
    "minimal_model": "01_minimal_model",
    "phase_diagrams": "01b_phase_diagrams",
    "contexts": "02_contexts",
    "ic_train": "03_ic_train",
    "probes": "04_probes",
    "figures": "05_figures",
}
"""The notebook of each rule of the Snakefile; the name of a rule of a group of seeds ends with them."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job of a rule costs: `fixed` pieces, `each` more a unit of its work, `megabytes` a seed."""

    fixed: float
    each: float = 0.0
    megabytes: float = 0.0


# Measured with the notebooks' defaults and with the values of profile `smoke`, as processor time of a thread
# (2026-11-25). Units: steps of the small transformers, targets trained on, targets asked.
COSTS = {
    "start": Cost(37, megabytes=1),
    "minimal_model": Cost(70, megabytes=16),
    "phase_diagrams": Cost(70, 0.017, 13),
    "contexts": Cost(25, megabytes=1),
    "ic_train": Cost(43, 0.0064, 2),
    "probes": Cost(37, 0.25, 1),
    "figures": Cost(46, megabytes=13),
}
BASE_STEP = 0.2
"""Pieces that a step of the tiny base's own training costs, where no base is kept."""


def split_rule(rule: str) -> tuple[str, tuple[int, ...]]:
    """Return the kind of a rule and the seeds of its group, if it has one.

    >>> split_rule("ic_train_0_2"), split_rule("minimal_model")
    (('ic_train', (0, 2)), ('minimal_model', ()))
    """
    kind = next(name for name in NOTEBOOKS if rule == name or rule.startswith(f"{name}_"))
    return kind, tuple(int(seed) for seed in rule[len(kind) :].split("_") if seed)


def find_speed(results: Path, threads: int) -> float | None:
    """Return the seconds of the piece of training here, timed once for a results folder; None if that
    fails.
    """
    path = results / ".snakemake" / "speed.json"
    kept = read_json(path) or {}
    if str(threads) not in kept:
        command = [sys.executable, "-m", "ccutils.chain.speed", str(threads)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        kept[str(threads)] = float(done.stdout)
        write_json(path, kept)
    return float(kept[str(threads)])


def is_estimated(profile: Profile) -> bool:
    """Tell whether the costs here are those of a profile's models: the tiny base alone."""
    return all(model == "tiny" for model in profile.models)


def estimate_job(profile: Profile, rule: str, speed: float) -> float | None:
    """Return the seconds of a job of a rule, a mean over tasks; None where a model is not the tiny one."""
    if not is_estimated(profile):
        return None
    kind, seeds = split_rule(rule)
    notebook = NOTEBOOKS[kind]
    pieces = []
    for task in profile.tasks:
        values = {**declared_parameters(profile.notebook(notebook)), **profile.values(notebook, task=task)}
        cost = COSTS[kind].fixed + COSTS[kind].each * units(kind, values, len(seeds))
        if kind == "ic_train":  # one base for all strategies
            cost += base_pieces(values, task, seeds) / len(profile.strategies)
        pieces.append(cost)
    return speed * sum(pieces) / len(pieces)


def units(kind: str, values: Mapping[str, Any], seeds: int) -> float:
    """Return the units of work of a job, as COSTS counts them."""
    if kind == "phase_diagrams":
        return float(values.get("transformer_steps", 0) * len(values.get("transformer_seeds", [])))
    if kind == "ic_train":
        return float(seeds * values.get("steps", 0) * values.get("batch", 32))
    if kind == "probes":
        return float(seeds * values.get("n_targets", 0))
    return 0.0


def base_pieces(values: Mapping[str, Any], task: str, seeds: Iterable[int]) -> float:
    """Return what training the bases that the repository does not keep will cost."""
    recipe = values.get("recipe") or {}
    steps = recipe.get("repeat_steps", 1500) + recipe.get("episode_steps", 1200)
    missing = [seed for seed in seeds if recipe or not (ROOT / "bases" / f"{task}-{seed}.json").exists()]
    return float(BASE_STEP * steps * len(missing))


def estimate_megabytes(counts: Mapping[str, int]) -> float:
    """Return the disk that these jobs of the tiny base will fill."""
    kinds = [(split_rule(rule), count) for rule, count in counts.items()]
    return sum(COSTS[kind].megabytes * max(1, len(seeds)) * count for (kind, seeds), count in kinds)
