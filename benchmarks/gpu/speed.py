"""Speed of training against TRL's fastest configuration, and of answering questions."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import train_step
from benchmarks.gpu.isolated import Failed
from benchmarks.gpu.made import Bench, Shape
from benchmarks.gpu.rows import SAME_LOSS, Row, at_least, at_most, failed, noted
from ccutils.training.plan import Plan

AS_FAST = 0.95  # times TRL's fastest row; the difference to 1 is noise
PADDED, ONE_CALL = 2.0, 5.0  # times a padded batch, and one call of `generate` for each prompt
TRL = ("trl", "liger", "padding_free", "liger_padding_free")
PACKAGES = {"liger": "liger-kernel", "padding_free": "flash-attn", "liger_padding_free": "both"}


def check_training(bench: Bench) -> Iterator[Row]:
    """Time a training step of every available variant; losses and gradients must agree."""
    able, scale = train_step.available(), bench.scale
    setting = setting_of(scale.shapes["1B"], scale.window, scale.steps)
    found: dict[str, dict[str, Any]] = {}
    for variant in (*TRL, "ours"):
        if variant not in able:
            yield noted("training", f"TRL, {variant}", f"not run: {PACKAGES[variant]} not installed")
            continue
        try:
            found[variant] = bench.apart.run(train_step.measure, variant, setting, bench.base("1B"))
        except Failed as error:
            yield failed("training", variant, str(error))
    yield from training_rows(found, setting.targets, aims=not scale.rehearsal)


def setting_of(shape: Shape, window: int, steps: int) -> train_step.Setting:
    """Describe the training: eight prompts a step, as long as the window on average."""
    return train_step.Setting(
        layers=shape.num_hidden_layers,
        width=shape.hidden_size,
        vocabulary=shape.vocab_size,
        prompt=window,
        answer=16 if window > 1000 else 4,
        steps=steps,
        checkpointing=True,
        quantise=True,
    )


def training_rows(found: dict[str, dict[str, Any]], targets: int, *, aims: bool) -> Iterator[Row]:
    """Yield the rows of what train_step.measure returned by variant; without `aims`, times have none."""
    speed = {name: targets / median(run["seconds"]) for name, run in found.items()}
    for name, run in found.items():
        text = f"{speed[name]:.2f} prompts/s, peak {run['peak'] / train_step.GB:.2f} GB"
        yield noted("training", name, text)
    first = next(iter(found), "")
    for name in list(found)[1:]:
        off = train_step.largest_difference(found[name], found[first])
        yield at_most("training", f"{name}: losses and gradient norms, from {first}'s", off, SAME_LOSS)
    best = max((name for name in TRL if name in speed), key=speed.__getitem__, default="")
    if best and "ours" in speed:
        yield timed_row("training", f"speed of ours by {best}", speed["ours"] / speed[best], AS_FAST, aims)


def timed_row(check: str, what: str, times: float, aim: float, aims: bool) -> Row:
    """Create the row of a ratio of times, which has no aim in a rehearsal."""
    return at_least(check, what, times, aim, "x") if aims else noted(check, what, times, "x")


def check_evaluation(bench: Bench) -> Iterator[Row]:
    """Answer the probes' questions with a checkpoint of 1B, by this package and by two other methods."""
    plan, scale = bench.plan("1B", "evaluation"), bench.scale
    try:
        found = bench.apart.run(answer, plan, bench.folder / "answers", scale.targets, scale.new_tokens)
    except Failed as error:
        yield failed("evaluation", "1B", str(error))
        return
    yield noted("evaluation", f"1B: questions a second, of {found['questions']}", 1 / found["ours"], "/s")
    for (name, (seconds, same, of)), aim in zip(found["others"].items(), (PADDED, ONE_CALL), strict=True):
        what = f"speed by that of {name} ({same} of {of} answers the same)"
        yield timed_row("evaluation", what, seconds / found["ours"], aim, aims=not scale.rehearsal)


def answer(plan: Plan, folder: Path, targets: int, new_tokens: int) -> dict[str, Any]:
    """Answer the questions of a plan's task in three ways; returns what evaluate.compare returns."""
    from benchmarks import evaluate
    from ccutils.evaluation.responder import Responder
    from ccutils.probes.questions import make_questions
    from ccutils.tasks import load_task

    questions = make_questions(
        load_task(plan.task, seed=0, **plan.task_options), plan.k, seed=0, n_targets=targets
    )
    adapter = evaluate.write_adapter(plan.model, folder / "adapter")
    responder = Responder(plan.model, folder, window=plan.window)
    return evaluate.compare(responder, questions, adapter, folder, new_tokens=new_tokens)
