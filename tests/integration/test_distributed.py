"""Several processes train as one does: the same batches, the same losses, the same adapter."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small import make_plan

from ccutils.errors import InputError
from ccutils.training import trainer as training
from ccutils.training.plan import Plan
from ccutils.training.prepare import make_model, prepare_run
from ccutils.training.run import ic_train
from ccutils.training.saved import checkpoints
from ccutils.training.settings import Settings
from ccutils.training.trainer import accumulation, micro_batch_size

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "workflow" / "launch"

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_a_batch_is_shared_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert micro_batch_size(Settings(batch=32)) == 8
    assert accumulation(32, 8) == 1
    assert accumulation(32, 2) == 4
    with pytest.raises(InputError, match="micro_batch"):
        accumulation(32, 16)


def launcher(config: str, *program: str) -> list[str]:
    """What the README tells to run on several GPUs."""
    start = ["-m", "accelerate.commands.launch", "--config_file", str(LAUNCH / config)]
    return [*start, "--num_processes", "2", "--main_process_port", "0", *program]


WAYS = {
    "data parallel": launcher("data_parallel.yaml", "-m", "ccutils.training.launch"),
    "4-bit weights split": launcher("fsdp_qlora.yaml", str(ROOT / "tests" / "support" / "fsdp_on_cpu.py")),
}


def test_two_processes_train_as_one_does(alone: Plan, together: Plan) -> None:
    assert len(curve(together)) == 6
    assert curve(together) == pytest.approx(curve(alone), abs=1e-4)
    for name, value in adapter(alone).items():
        torch.testing.assert_close(adapter(together)[name], value, rtol=1e-3, atol=1e-4)


def test_there_were_two_processes(together: Plan, request: pytest.FixtureRequest) -> None:
    """Each has left the state of its random numbers, and FSDP its own form of the optimiser's state."""
    names = {path.name for path in checkpoints(together.run.folder)[6].iterdir()}
    split = "split" in request.node.name
    assert {"rng_state_0.pth", "rng_state_1.pth", "whole.json"} <= names
    assert ("optimizer.bin" in names, "optimizer.pt" in names) == (split, not split)


def test_two_processes_resume_as_one_does(
    alone: Plan, together: Plan, request: pytest.FixtureRequest
) -> None:
    """From a checkpoint in the middle, as after a kill: states of optimiser and random numbers are there."""
    (together.run.folder / "done.json").unlink()
    shutil.rmtree(checkpoints(together.run.folder)[6])
    run(together, *next(way for name, way in WAYS.items() if name in request.node.name))
    assert curve(together) == pytest.approx(curve(alone), abs=1e-4)
    for name, value in adapter(alone).items():
        torch.testing.assert_close(adapter(together)[name], value, rtol=1e-3, atol=1e-4)


def test_two_processes_of_a_notebook_train_as_one_does(alone: Plan, tmp_path: Path) -> None:
    plan = replace(alone, results=str(tmp_path))
    run(plan, "-c", NOTEBOOK)
    assert curve(plan) == pytest.approx(curve(alone), abs=1e-4)
    assert (checkpoints(plan.run.folder)[6] / "rng_state_1.pth").exists()


def test_one_process_out_of_memory_ends_them_all(
    alone: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for it in the middle of a step, so that it cannot try again on its own."""

    def fail(*rest: object) -> None:
        raise torch.OutOfMemoryError("made up")

    parts = prepare_run(alone)
    monkeypatch.setattr(training, "processes", lambda: 2)
    monkeypatch.setattr(training.ICTrainer, "training_step", fail)
    with pytest.raises(InputError, match="micro_batch"):
        training.train(
            lambda: make_model(alone, parts.path),
            parts.tokenizer,
            parts.prompts,
            settings=alone.settings,
            folder=tmp_path,
        )


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == yaml.safe_load(path.read_text())["num_processes"]


def run(plan: Plan, *command: str) -> None:
    """Call a Python program with the plan as its last argument; without a GPU, processes talk by gloo."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    line = [sys.executable, *command, json.dumps(asdict(plan))]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def curve(plan: Plan) -> list[float]:
    done = json.loads((plan.run.folder / "done.json").read_text())
    return [entry["loss"] for entry in done["curve"]]


def adapter(plan: Plan) -> dict[str, torch.Tensor]:
    return dict(load_file(checkpoints(plan.run.folder)[6] / "adapter_model.safetensors"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = make_plan(tmp_path_factory.mktemp("alone"), micro_batch=2, keep=2)
    ic_train(plan)
    return plan


@pytest.fixture(
    scope="module",
    params=["data parallel", pytest.param("4-bit weights split", marks=pytest.mark.slow)],
)
def together(request: pytest.FixtureRequest, alone: Plan, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The same run by two processes, which also share the making of the base."""
    plan = replace(alone, results=str(tmp_path_factory.mktemp("together")))
    run(plan, *WAYS[request.param])
    return plan


NOTEBOOK = """
import json, socket, sys
from accelerate import notebook_launcher
from ccutils.training.launch import train_plan
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings
values = json.loads(sys.argv[1])
plan = Plan(**values | {"settings": Settings(**values["settings"])})
with socket.create_server(("127.0.0.1", 0)) as free:
    port = str(free.getsockname()[1])
notebook_launcher(train_plan, (plan,), num_processes=2, use_port=port)
"""
