"""Tiny bases that are kept in the repository, so that every machine starts from the same ones.

`data/bases/<task>-<seed>.safetensors` holds the weights as float16, to which a tiny base is rounded when
trained, bundled or not; the JSON beside it holds its recipe, hash and in-context accuracy. Written by
`python -m ccutils.models.kept topics 0 1 2`, which trains those that are not there.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from ccutils.errors import InputError, command
from ccutils.models.tiny_episodes import Material, episodes
from ccutils.origin import checksum
from ccutils.records import read_json, write_json

BASES = Path(__file__).resolve().parents[2] / "data" / "bases"
EPISODES = 512
"""Episodes that the in-context accuracy is measured on; none was trained on."""


def find_kept(task: str, seed: int, name: str, folder: Path = BASES) -> dict[str, torch.Tensor] | None:
    """Return the weights, as float32, of the kept base whose recipe, vocabulary and lengths hash to `name`.

    None where there is none, or only one made of other things. Raises InputError for weights that are not
    those its JSON tells of.
    """
    path = folder / f"{task}-{seed}.safetensors"
    about = read_json(path.with_suffix(".json"))
    if about is None or about["name"] != name or not path.exists():
        return None
    if checksum(path) != about["sha256"]:
        raise InputError(
            f"the kept base {path.name} is not what {path.stem}.json tells of: restore both from the "
            "repository, or remove them and it is trained anew."
        )
    return {key: tensor.float() for key, tensor in load_file(path).items()}


def keep_base(
    model: LlamaForCausalLM,
    about: dict[str, Any],
    *,
    task: str,
    seed: int,
    folder: Path = BASES,
) -> Path:
    """Write a base's weights and what is to be known of them; `about` holds its name, recipe, accuracy."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task}-{seed}.safetensors"
    weights = {name: tensor.detach().half().contiguous() for name, tensor in model.named_parameters()}
    save_file(weights, path)
    write_json(path.with_suffix(".json"), {**about, "sha256": checksum(path)})
    return path


def round_weights(model: LlamaForCausalLM) -> None:
    """Round the weights to what float16 holds, in place: a base that was kept and one just made are
    equal.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def context_accuracy(model: LlamaForCausalLM, material: Material, demonstrations: int) -> float:
    """Return the share of answer tokens that the model predicts from the context, over fresh episodes.

    The first demonstration's answer cannot be known and counts as well.
    """
    rng = np.random.default_rng(2**32)
    right = asked = 0
    with torch.no_grad():
        for _ in range(EPISODES // 64):
            tokens, judged = episodes(material, demonstrations, 64, rng)
            predicted = model(torch.from_numpy(tokens)).logits[:, :-1].argmax(-1).numpy()
            right += int((predicted == tokens[:, 1:])[judged[:, 1:]].sum())
            asked += int(judged[:, 1:].sum())
    return right / asked


@command
def main(arguments: Sequence[str]) -> None:
    """Keep the bases of a task, the first argument, for the seeds that follow."""
    from ccutils.models.tiny import DESCRIPTION, make_recipe, prepare_tiny, tiny_base
    from ccutils.tasks import load_task

    if len(arguments) < 2 or not all(seed.isdecimal() for seed in arguments[1:]):
        raise InputError("give a task and its seeds: topics 0 1 2.")
    for seed in map(int, arguments[1:]):
        task, recipe = load_task(arguments[0], seed=seed), make_recipe({}, seed)
        with tempfile.TemporaryDirectory() as cache:
            made = tiny_base(task, Path(cache), recipe)
            model = LlamaForCausalLM.from_pretrained(made)
            about = json.loads((made / DESCRIPTION).read_text(encoding="utf-8"))
        material = prepare_tiny(task, recipe)[1]
        about["accuracy"] = round(context_accuracy(model, material, recipe.demonstrations), 4)
        print(
            f"kept: {keep_base(model, about, task=task.name, seed=seed)}, accuracy {about['accuracy']}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
