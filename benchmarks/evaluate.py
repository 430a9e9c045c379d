"""How fast the probes' questions are answered: by this package, by a padded batch, by one call for each.

python benchmarks/evaluate.py
python benchmarks/evaluate.py --task mtop --options '{"path": "../shared/data/mtop_en"}' --model random
python benchmarks/evaluate.py --task requests --model smollm2 --float --adapter CHECKPOINT --k 4

All three probe the same checkpoint on the same prompts, and their answers are compared: NF4 unless --float, a
random adapter unless --adapter. `--model random` is an untrained Llama of 8 layers and width 512: it answers
nonsense up to the last token.
"""

import argparse
import itertools
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.errors import InputError
from ccutils.evaluation.responder import Responder
from ccutils.models.base import add_lora, load_adapter, load_base, model_path
from ccutils.models.generation import first_line, stop_tokens
from ccutils.models.lora import Lora
from ccutils.models.prefixes import grow
from ccutils.models.tiny import word_tokenizer
from ccutils.probes.questions import make_questions
from ccutils.tasks import Task, load_task

Prompts = Sequence[Sequence[int]]
WINDOW = 8192  # wide enough that nothing is dropped


def make_checkpoint(name: str, task: Task, folder: Path, adapter: Path | None = None) -> tuple[str, Path]:
    """Paths of a base and of a checkpoint: `adapter`, or a random one made in `folder`."""
    torch.manual_seed(0)
    if name == "random":
        tokenizer = word_tokenizer(task, 4000)
        shape: dict[str, Any] = {
            "hidden_size": 512,
            "intermediate_size": 1536,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "max_position_embeddings": WINDOW,
            "initializer_range": 0.1,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        path = str(folder / "base")
        LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(path)
        tokenizer.save_pretrained(path)
    else:
        path = model_path(name, task, Path("results") / "benchmarks" / "cache")
    if adapter:
        return path, adapter
    model = add_lora(load_base(path), Lora(), checkpointing=False)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if "lora_B" in part:  # zero in a fresh adapter
                parameter.normal_(0, 0.02)
    model.save_pretrained(str(folder / "adapter"))
    return path, folder / "adapter"


@torch.inference_mode()
def padded(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Prompts, new: int, size: int
) -> list[str]:
    """Transformers' generate on batches of `size` prompts in the order given."""
    stop, pad, answers = stop_tokens(tokenizer), tokenizer.pad_token_id, list[str]()
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        width = max(map(len, batch))
        ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in batch], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch], device=model.device)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=pad,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        answers += [first_line(text) for text in texts]
    return answers


def timed(work: Callable[[], list[str]], repeats: int) -> tuple[float, list[str]]:
    """Seconds of the fastest run, and its answers."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        answers = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), answers


def compare(name: str, args: argparse.Namespace, folder: Path) -> None:
    """Print the seconds and the ratios of one task."""
    task = load_task(name, seed=0, **args.options)
    path, adapter = make_checkpoint(args.model, task, folder, args.adapter)
    questions = make_questions(task, args.k, seed=0, n_targets=args.n_targets)
    new = min(task.max_new_tokens, args.max_new_tokens)
    responder = Responder(path, folder, quantise=not args.float, window=WINDOW)
    prompts = responder.prompts(questions)
    ids = [prompt.ids for prompt in prompts]
    shared = sum(len(node.tokens) for depth in grow(sorted(ids)) for node in depth)
    run = itertools.count()

    def ours() -> list[str]:
        """A checkpoint probed, answers written to files; a new folder each time, so that none is known."""
        return responder.answers(
            prompts, max_new_tokens=new, adapter=adapter, folder=folder / str(next(run)), name="probe"
        )

    ours()  # loads the base
    seconds, answers = timed(ours, args.repeats)
    per = 1000 * seconds / len(ids)
    print(f"\n{name}: {len(ids)} questions, k = {args.k}, up to {new} new tokens, model {args.model}")
    print(
        f"{sum(map(len, ids))} tokens of prompts, {sum(map(len, ids)) / shared:.2f} times fewer once shared"
    )
    print(f"{'this package':24} {per:8.2f} s per 1,000 questions", flush=True)
    known = {tuple(prompt): text for prompt, text in zip(ids, answers, strict=True)}
    model, tokenizer = load_adapter(load_base(path, quantise=not args.float), adapter), responder.tokenizer
    for size, repeats, some in (
        (args.batch, args.repeats, ids),
        (1, 1, ids[:: max(1, len(ids) // args.one)]),
    ):
        each, other = timed(partial(padded, model, tokenizer, some, new, size), repeats)
        same = sum(known[tuple(prompt)] == text for prompt, text in zip(some, other, strict=True))
        what = f"padded batches of {size}" if size > 1 else "one call each"
        times = each / len(some) * len(ids) / seconds
        print(f"{what:24} {1000 * each / len(some):8.2f} s, {times:.2f} times as long; ", end="")
        print(f"{same} of {len(some)} answers the same", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", nargs="+", default=["topics", "gloss"])
    parser.add_argument("--options", type=json.loads, default={}, help="the task's options, as JSON")
    parser.add_argument("--model", default="tiny", help="tiny, random, a model directory or a Hub id")
    parser.add_argument("--float", action="store_true", help="the base as it is, without NF4")
    parser.add_argument("--adapter", type=Path, help="a trained checkpoint of the model; else a random one")
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--n-targets", type=int, default=100, help="targets of each test set")
    parser.add_argument("--max-new-tokens", type=int, default=32, help="at most, and at most the task's own")
    parser.add_argument("--batch", type=int, default=32, help="prompts in a padded batch")
    parser.add_argument("--one", type=int, default=100, help="prompts that are asked one by one")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    args = parser.parse_args()
    versions = [f"{name} {version(name)}" for name in ("torch", "transformers", "bitsandbytes")]
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"python {platform.python_version()}, {', '.join(versions)}; {device}")
    try:
        for name in args.task:
            with tempfile.TemporaryDirectory() as folder:
                compare(name, args, Path(folder))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
