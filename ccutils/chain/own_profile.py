"""Write the profile of notebook 06 for a user's own task, with the tiny base or a real model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ccutils.chain.job import list_gpus
from ccutils.chain.profiles import PROFILES
from ccutils.packaged import LANGUAGE_MODELS

SETTINGS = PROFILES / "t4.yaml"
"""Profile with the training settings of real models; each setting has its reason there."""
ON_A_CPU = PROFILES / "smollm2.yaml"
"""Profile with the settings, strategies and seeds of LANGUAGE_MODELS, which need no GPU."""
HEADER = """\
# The training parameters come from workflow/profiles/{name}, which gives their reasons. They suit the model,
# data and machine of that profile. gpu: false runs on the CPU; gpu: true requires a GPU.
"""


def absolute(path: str) -> str:
    """Make an existing path absolute, since the chain runs in another folder; return other text unchanged."""
    found = Path(path).expanduser()
    return str(found.resolve()) if path not in ("", "tiny", *LANGUAGE_MODELS) and found.exists() else path


def make_profile_text(options: Mapping[str, Any], model: str, parameters: Mapping[str, Any]) -> str:
    """Write a profile in YAML for task `jsonl` with `options`: all strategies, three seeds.

    The notebooks' defaults are for the tiny base. Other models get the parameters of SETTINGS, and
    LANGUAGE_MODELS those of ON_A_CPU with its strategies and seeds; `parameters` override both. The profile
    requires a GPU if this machine has one or the model is a Hub id.
    """
    tiny, on_cpu = model == "tiny", model in LANGUAGE_MODELS
    source = ON_A_CPU if on_cpu else SETTINGS
    known = {} if tiny else yaml.safe_load(source.read_text(encoding="utf-8"))
    profile = {
        "gpu": not (tiny or on_cpu) and bool(list_gpus() or not Path(model).is_dir()),
        "tasks": {"jsonl": {"task_options": dict(options)}},
        "models": [model],
        "strategies": ["none", "random", "similar", "contrastive", "batch_mix"],
        "seeds": [[0, 1, 2]] if tiny else [[0], [1], [2]],  # one seed a job, so that several GPUs share them
        "results": "results/your_task",
        "parameters": {**known.get("parameters", {}), **parameters},  # last, so that more can be appended
    }
    if on_cpu:
        profile |= {name: known[name] for name in ("strategies", "seeds")}
    text = yaml.safe_dump(profile, sort_keys=False, allow_unicode=True)
    return text if tiny else HEADER.format(name=source.name) + text
