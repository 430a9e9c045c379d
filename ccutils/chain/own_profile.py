"""The profile that notebook 06 writes for a task of one's own, on the tiny base or on a real model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ccutils.chain.job import list_gpus
from ccutils.chain.profiles import PROFILES
from ccutils.packaged import LANGUAGE_MODELS

SETTINGS = PROFILES / "t4.yaml"
"""Source of a real model's training settings, each with its reason."""
ON_A_CPU = PROFILES / "smollm2.yaml"
"""Source of the settings, strategies and seeds of LANGUAGE_MODELS, which need no GPU."""
HEADER = """\
# The training parameters are those of workflow/profiles/{name}, with reasons: they suit its
# model, data and machine. gpu: false computes on the CPU, GPU or not; true refuses to run without a GPU.
"""


def absolute(path: str) -> str:
    """Make a path that exists absolute, since the chain runs in another folder; keep any other text."""
    found = Path(path).expanduser()
    return str(found.resolve()) if path not in ("", "tiny", *LANGUAGE_MODELS) and found.exists() else path


def make_profile_text(options: Mapping[str, Any], model: str, parameters: Mapping[str, Any]) -> str:
    """Write a profile in YAML: all strategies and three seeds of task `jsonl` with `options`.

    Models other than `tiny` get the parameters of SETTINGS that `parameters` does not name, since the
    notebooks' defaults are for the tiny base; LANGUAGE_MODELS get those of ON_A_CPU, with its strategies and
    seeds. A GPU is required if this machine has one, or if the model is a Hub id.
    """
    tiny, on_cpu = model == "tiny", model in LANGUAGE_MODELS
    source = ON_A_CPU if on_cpu else SETTINGS
    known = {} if tiny else yaml.safe_load(source.read_text(encoding="utf-8"))
    profile = {
        "gpu": not (tiny or on_cpu) and bool(list_gpus() or not Path(model).is_dir()),
        "tasks": {"jsonl": {"task_options": dict(options)}},
        "models": [model],
        "strategies": ["none", "random", "similar", "contrastive", "batch_mix"],
        "seeds": [[0, 1, 2]] if tiny else [[0], [1], [2]],  # one a job, so that several GPUs share them
        "results": "results/your_task",
        "parameters": {**known.get("parameters", {}), **parameters},  # last, so that more can be appended
    }
    if on_cpu:
        profile |= {name: known[name] for name in ("strategies", "seeds")}
    text = yaml.safe_dump(profile, sort_keys=False, allow_unicode=True)
    return text if tiny else HEADER.format(name=source.name) + text
