"""Prompts a second: training against TRL at its best, and answering questions."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import train_step
from benchmarks.gpu.isolated import Failed
from benchmarks.gpu.made import Bench, Shape
from benchmarks.gpu.rows import SAME_LOSS, Row, at_least, at_most, failed, noted
from ccutils.training.plan import Plan

AS_FAST = 0.95  # times TRL's fastest row: the rest is noise
PADDED, ONE_CALL = 2.0, 5.0  # times a padded batch, and one call of generate for each prompt
TRL = ("trl", "liger", "padding_free", "liger_padding_free")
PACKAGES = {"liger": "liger-kernel", "padding_free": "flash-attn", "liger_padding_free": "both"}


def check_training(bench: Bench) -> Iterator[Row]:
    """Time a training step of every variant that can be had; losses and gradients must agree."""
    able, scale = train_step.can_run(), bench.scale
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
    yield from judge_training(found, setting.targets, judged=not scale.rehearsal)


def setting_of(shape: Shape, window: int, steps: int) -> train_step.Setting:
    """Describe the prompts: as long as the window on average, eight a step."""
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


def judge_training(found: dict[str, dict[str, Any]], targets: int, *, judged: bool) -> Iterator[Row]:
    """Yield the rows of what train_step.measure found of each variant; times count where they are judged."""
    speed = {name: targets / median(run["seconds"]) for name, run in found.items()}
    for name, run in found.items():
        text = f"{speed[name]:.2f} prompts/s, peak {run['peak'] / train_step.GB:.2f} GB"
        yield Row("training", name, text, value=speed[name])
    first = next(iter(found), "")
    for name in list(found)[1:]:
        off = train_step.largest_difference({first: [found[first]], name: [found[name]]})
        yield at_most("training", f"{name}: losses and gradient norms, from {first}'s", off, SAME_LOSS)
    best = max((name for name in TRL if name in speed), key=speed.__getitem__, default="")
    if "ours" in speed and best:
        yield timed_row("training", f"speed of ours by {best}", speed["ours"] / speed[best], AS_FAST, judged)


def timed_row(check: str, what: str, times: float, aim: float, judged: bool) -> Row:
    """Make the row of a ratio of times, which says nothing in a rehearsal."""
    return at_least(check, what, times, aim, "x") if judged else noted(check, what, times, "x")


def check_evaluation(bench: Bench) -> Iterator[Row]:
    """Answer the probes' questions with a checkpoint of 1B, by this package and in two other ways."""
    plan = bench.plan("1B", "evaluation")
    try:
        found = bench.apart.run(
            answer, plan, bench.folder / "answers", bench.scale.targets, bench.scale.new_tokens
        )
    except Failed as error:
        yield failed("evaluation", "1B", str(error))
        return
    per = found["ours"]
    yield noted("evaluation", f"1B: questions a second, of {found['asked']}", 1 / per, "/s")
    for name, aim in (("padded batches of 32", PADDED), ("one call each", ONE_CALL)):
        seconds, same, of = found[name]
        what = f"speed by that of {name} ({same} of {of} answers the same)"
        yield timed_row("evaluation", what, seconds / per, aim, judged=not bench.scale.rehearsal)


def answer(plan: Plan, folder: Path, targets: int, new_tokens: int) -> dict[str, Any]:
    """Return seconds a question, and for the other ways how many answers are the same, and of how many."""
    from benchmarks import evaluate
    from ccutils.evaluation.responder import Responder
    from ccutils.models.base import load_adapter
    from ccutils.probes.questions import make_questions
    from ccutils.tasks import load_task

    folder.mkdir()
    task = load_task(plan.task, seed=0, **plan.task_options)
    path, adapter = evaluate.make_checkpoint(plan.model, task, folder)
    responder = Responder(path, folder, window=plan.window)
    prompts = responder.prompts(make_questions(task, plan.k, seed=0, n_targets=targets))
    ids = [prompt.ids for prompt in prompts]

    def ours(some: slice, name: str) -> list[str]:
        return responder.answers(
            prompts[some], max_new_tokens=new_tokens, adapter=adapter, folder=folder / name, name=name
        )

    ours(slice(8), "first")  # loads the base, chooses kernels
    seconds, answers = evaluate.timed(lambda: ours(slice(None), "all"), 1)
    found: dict[str, Any] = {"asked": len(ids), "ours": seconds / len(ids)}
    known = {tuple(prompt): text for prompt, text in zip(ids, answers, strict=True)}
    model, tokenizer = load_adapter(responder.base, adapter), responder.tokenizer
    for name, size, some in (
        ("padded batches of 32", 32, ids),
        ("one call each", 1, ids[:: len(ids) // 8 or 1]),
    ):
        evaluate.padded(model, tokenizer, some[:size], new_tokens, size)
        each, other = evaluate.timed(
            lambda some=some, size=size: evaluate.padded(model, tokenizer, some, new_tokens, size), 1
        )
        same = sum(known[tuple(prompt)] == text for prompt, text in zip(some, other, strict=True))
        found[name] = (each / len(some), same, len(some))
    return found
