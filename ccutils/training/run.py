"""One IC-Train run from its description to its adapter: prepare, train, record."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from ccutils.contexts.dose import measure_dose
from ccutils.records import read_json, write_json
from ccutils.training.memory import GB, available_bytes, check_fits, compare_memory
from ccutils.training.plan import Plan
from ccutils.training.prepare import PreparedRun, make_model, predict_memory, prepare_run
from ccutils.training.saved import checkpoints, spent
from ccutils.training.trainer import forget_peak, train


def ic_train(plan: Plan, prepared: PreparedRun | None = None) -> dict[str, Any]:
    """Train as planned, or go on where an earlier try of the same plan stopped; return what done.json holds.

    A finished run of the same plan is not trained again. What another plan has left in the folder is removed
    once every process has accepted this one.
    """
    folder = plan.run.folder
    done = folder / "done.json"
    # Gives each process its GPU; the others may wait long for the tiny base or for paraphrases.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=6))
    with state.main_process_first():  # what it makes the others find
        prepared = prepared or prepare_run(plan)
    identity = plan.identity(prepared.task.pool)
    if done.exists() and read_json(folder / "plan.json") == identity:
        return dict(read_json(done))
    survey = prepared.prompts.survey(plan.settings.steps * plan.settings.batch)
    memory = predict_memory(plan, prepared.path, survey)
    forget_peak()
    check_fits(memory, available_bytes())
    state.wait_for_everyone()
    with state.main_process_first():
        make_room(folder, identity)
    curve = train(
        partial(make_model, plan, prepared.path),
        prepared.tokenizer,
        prepared.prompts,
        settings=plan.settings,
        folder=folder,
    )
    facts = {
        "plan": plan.known(),
        "dose": measure_dose(prepared.prompts.sampler, prepared.task),
        "base": (read_json(Path(prepared.path) / "base.json") or {}).get("made", "given"),
        "facts": dict(prepared.task.facts),
        "prompts": asdict(survey),
        "paraphrases": prepared.prompts.paraphrases.shares(),
        "checkpoints": list(checkpoints(folder)),
        "curve": [{name: entry[name] for name in ("step", "loss", "learning_rate")} for entry in curve],
        "seconds": spent(folder),
        "memory": {"predicted_gb": memory.total / GB, **compare_memory(memory)},
    }
    forget_peak()  # else the model stays beside the one that answers
    if state.is_main_process:
        write_json(done, facts)
    return facts


def make_room(folder: Path, identity: Mapping[str, Any]) -> None:
    """Remove what a run of another plan has left in the folder, saying why, and note this plan there."""
    found = read_json(folder / "plan.json")
    if found == identity:
        return
    if folder.exists() and any(folder.iterdir()):
        why = "it has no plan.json" if found is None else "; ".join(differences(found, identity))
        print(f"removing the run in {folder}, since this is another: {why}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / "plan.json", identity)


def stale_results(plan: Plan) -> str:
    """Say which results in the plan's folder are of another plan, and why; "" where none is.

    Of what is kept, data apart: that is looked at when the run is prepared.
    """
    known = {name: value for name, value in plan.identity([]).items() if name != "data"}
    found = read_json(plan.run.folder / "plan.json")
    if found is None:
        return ""
    changed = list(differences({name: found.get(name) for name in known}, known))
    if not changed:
        return ""
    later = [
        name
        for name, path in (
            ("its answers and scores (04)", plan.run.folder / "probes.parquet"),
            ("figures and report (05)", Path(plan.results) / "report.html"),
        )
        if path.exists()
    ]
    return (
        f"stale: the run in {plan.run.folder} ({'; '.join(changed)}){''.join(f', {x}' for x in later)}. "
        "Training replaces the run; run the other notebooks again after it, or choose another `results`."
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two identities; those of settings, recipe and task_options by their own
    names.
    """
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from differences(was, now)
        elif was != now:
            yield f"{name} was {was!r} and is {now!r}"
