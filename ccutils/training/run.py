"""One IC-Train run from its plan to its adapter: prepare, train, record."""

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from ccutils.contexts.dose import count_targets
from ccutils.contexts.prompts import TODAY, TOKENISATION
from ccutils.records import read_json, write_json
from ccutils.training.identity import claim_folder, describe_run, refuse_other_run
from ccutils.training.memory import GB, available_bytes, check_fits, compare_memory
from ccutils.training.plan import Plan
from ccutils.training.prepare import PreparedRun, make_model, predict_memory, prepare_run
from ccutils.training.saved import checkpoints, spent
from ccutils.training.trainer import forget_peak, train


def ic_train(plan: Plan, prepared: PreparedRun | None = None) -> dict[str, Any]:
    """Train as planned, or resume an earlier attempt of the same plan; return the content of done.json.

    A finished run of the same plan is not trained again. Raises InputError if the folder contains another
    run, which stays unchanged.
    """
    folder = plan.run.folder
    done = folder / "done.json"
    # Assigns each process its GPU; the others may wait long for the tiny base or for paraphrases.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=6))
    with state.main_process_first():  # the others find what it wrote
        prepared = prepared or prepare_run(plan)
    description = describe_run(plan, prepared.task)
    refuse_other_run(plan, description)
    if done.exists() and (folder / "plan.json").exists():
        return dict(read_json(done))
    survey = prepared.prompts.survey(plan.settings.steps * plan.settings.batch)
    memory = predict_memory(plan, prepared.path, survey)
    forget_peak()
    check_fits(memory, available_bytes())
    state.wait_for_everyone()
    with state.main_process_first():
        claim_folder(plan, description)
    curve = train(
        partial(make_model, plan, prepared.path),
        prepared.tokenizer,
        prepared.prompts,
        settings=plan.settings,
        folder=folder,
    )
    steps = list(checkpoints(folder))
    counts = count_targets(prepared.prompts, prepared.task, [step * plan.settings.batch for step in steps])
    facts = {
        "plan": plan.known(),
        "tokenisation": TOKENISATION,
        "date": TODAY.isoformat(),  # in chat templates that contain a date
        "dose": counts[-1]["relevant"] / counts[-1]["targets"],
        "targets": [
            {"step": step, **of, "tokens": round(of["targets"] * survey.mean_tokens)}
            for step, of in zip(steps, counts, strict=True)
        ],
        "base": (read_json(Path(prepared.path) / "base.json") or {}).get("made", "given"),
        "facts": dict(prepared.task.facts),
        "prompts": asdict(survey),
        "paraphrases": prepared.prompts.paraphrases.shares(),
        "checkpoints": steps,
        "curve": [{name: entry[name] for name in ("step", "loss", "learning_rate")} for entry in curve],
        "seconds": spent(folder),
        "memory": {"predicted_gb": memory.total / GB, **compare_memory(memory)},
    }
    forget_peak()  # else the model stays in memory during generation
    if state.is_main_process:
        write_json(done, facts)
    return facts
