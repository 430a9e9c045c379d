"""Measure how fast the probes' questions are answered: by this package, in padded batches, one by one.

python benchmarks/evaluate.py
python benchmarks/evaluate.py --task mtop --options '{"path": "../shared/data/mtop_en"}' --model random
python benchmarks/evaluate.py --task requests --model smollm2 --float --adapter CHECKPOINT --k 4

All three methods answer the same prompts with the same checkpoint, and their answers are compared. The base
is in NF4 unless --float is given; the adapter is random unless --adapter is given. `--model random` is an
untrained Llama of 8 layers of width 512, whose answers never end early.
"""

import itertools
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import add_task, load_chosen, machine, make_parser, timed, write_llama
from ccutils.contexts.prompts import first_line
from ccutils.errors import command
from ccutils.evaluation.responder import Responder
from ccutils.models.base import add_lora, load_adapter, load_base, model_path
from ccutils.models.generation import stop_tokens
from ccutils.models.lora import Lora
from ccutils.models.prefixes import grow
from ccutils.models.tiny import word_tokenizer
from ccutils.probes.questions import QuestionSet, make_questions
from ccutils.tasks import Task

Prompts = Sequence[Sequence[int]]
WINDOW = 8192  # tokens; no prompt is longer


def find_base(name: str, task: Task, folder: Path) -> str:
    """Return the path of a model, or write the untrained one to a folder."""
    if name != "random":
        return model_path(name, task, Path("results") / "benchmarks" / "cache")
    tokenizer = word_tokenizer(task, 4000)
    write_llama(
        folder / "base",
        tokenizer,
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        initializer_range=0.1,
    )
    return str(folder / "base")


def write_adapter(base: str, folder: Path) -> Path:
    """Write an adapter with random weights to a folder, and return the folder."""
    torch.manual_seed(0)
    model = add_lora(load_base(base), Lora(), checkpointing=False)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if "lora_B" in part:  # zero in a new adapter
                parameter.normal_(0, 0.02)
    model.save_pretrained(str(folder))
    return folder


@torch.inference_mode()
def padded(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Prompts, new: int, size: int
) -> list[str]:
    """Answer with transformers' `generate` on padded batches of `size` prompts, in the order given."""
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


def compare(
    responder: Responder,
    questions: QuestionSet,
    adapter: Path,
    folder: Path,
    *,
    new_tokens: int,
    batch: int = 32,
    one: int = 8,
    repeats: int = 1,
) -> dict[str, Any]:
    """Answer all questions in three ways, `one` of them with single calls.

    Returns the number of `questions` and of prompt `tokens`, the latter by the tokens without repeated
    prefixes (`shared`), the seconds a question of this package (`ours`), and by method in `others` the
    seconds a question, the number of equal answers, and the number of answers.
    """
    prompts = responder.prompts(questions)
    ids = [prompt.ids for prompt in prompts]
    tokens = sum(map(len, ids))
    run = itertools.count()

    def ours(number: int) -> list[str]:
        """Answer, writing to a new folder, so that no answer is read from the cache."""
        return responder.answers(
            prompts[:number],
            max_new_tokens=new_tokens,
            adapter=adapter,
            folder=folder / str(next(run)),
            name="probe",
        )

    ours(8)  # loads the base and compiles kernels
    seconds, answers = timed(partial(ours, len(ids)), repeats)
    expected = {tuple(prompt): text for prompt, text in zip(ids, answers, strict=True)}
    model, others = load_adapter(responder.base, adapter), dict[str, tuple[float, int, int]]()
    for name, size, some in (
        (f"padded batches of {batch}", batch, ids),
        ("one call each", 1, ids[:: max(1, len(ids) // one)]),
    ):
        work = partial(padded, model, responder.tokenizer, new=new_tokens, size=size)
        work(some[:size])
        other, texts = timed(partial(work, some), repeats if size > 1 else 1)
        same = sum(expected[tuple(prompt)] == text for prompt, text in zip(some, texts, strict=True))
        others[name] = other / len(some), same, len(some)
    return {
        "questions": len(ids),
        "tokens": tokens,
        "shared": tokens / sum(len(node.tokens) for depth in grow(sorted(ids)) for node in depth),
        "ours": seconds / len(ids),
        "others": others,
    }


@command
def main(arguments: Sequence[str]) -> None:
    """Compare the three methods, and print seconds and ratios."""
    parser = make_parser(__doc__)
    add_task(parser, "topics")
    parser.add_argument("--model", default="tiny", help="tiny, smollm2, random, a directory or a Hub id")
    parser.add_argument("--float", action="store_true", help="do not quantise the base to NF4")
    parser.add_argument("--adapter", type=Path, help="a checkpoint of the model; default: random weights")
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--n-targets", type=int, default=100, help="targets of each test set")
    parser.add_argument("--max-new-tokens", type=int, default=32, help="limit, beside the task's own")
    parser.add_argument("--batch", type=int, default=32, help="prompts in a padded batch")
    parser.add_argument("--one", type=int, default=100, help="prompts answered by single calls")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the fastest is reported")
    given = parser.parse_args(arguments)
    print(machine())
    task = load_chosen(given)
    questions = make_questions(task, given.k, seed=0, n_targets=given.n_targets)
    new_tokens = min(task.max_new_tokens, given.max_new_tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = find_base(given.model, task, folder)
        found = compare(
            Responder(base, folder, quantise=not given.float, window=WINDOW),
            questions,
            given.adapter or write_adapter(base, folder / "adapter"),
            folder,
            new_tokens=new_tokens,
            batch=given.batch,
            one=given.one,
            repeats=given.repeats,
        )
    print(f"\n{given.task}, model {given.model}, k = {given.k}, up to {new_tokens} new tokens")
    print(
        f"{found['questions']} questions, {found['tokens']} tokens of prompts, {found['shared']:.2f} times "
        "fewer once shared prefixes are computed once"
    )
    print(f"{'this package':24} {1000 * found['ours']:8.2f} s per 1,000 questions")
    for method, (each, same, asked) in found["others"].items():
        print(
            f"{method:24} {1000 * each:8.2f} s, {each / found['ours']:.2f} times as long; "
            f"{same} of {asked} answers are equal"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
