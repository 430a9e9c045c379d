"""Contrastive contexts for a trainer of your own: prompts with new contexts in every epoch, from any rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from ccutils.contexts.counterfactual import Counterfactual, check_counterfactual
from ccutils.contexts.epochs import EpochContexts
from ccutils.contexts.neighbours import pool_neighbours
from ccutils.contexts.paraphrase import Paraphraser, Paraphrases, make_rows
from ccutils.contexts.prompts import Prompter, feature
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.errors import InputError, check_count, nearest
from ccutils.tasks.base import Example, Template
from ccutils.tasks.files import Record, named_rows, read_records, without_headers
from ccutils.tasks.splits import merge_labels
from ccutils.tasks.tables import check_header

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

FORMATS = ("prompt-completion", "chat", "messages", "alpaca", "sharegpt")
"""How a row is written. prompt-completion: two texts. chat: the same as lists of messages, each demonstration
two turns of the prompt (TRL's conversational prompt-completion). messages, alpaca, sharegpt: one question
that holds the demonstrations, and one answer, so that a trainer that learns every answer it sees learns no
other."""
AT_ONCE = 256  # contexts drawn in one call


@dataclass(frozen=True, slots=True)
class ContrastiveContexts:
    """Prompts for IC-Train out of labelled examples, for a trainer of your own.

    `examples` is a list of dicts, a pandas frame, a Hugging Face Dataset (columns `input_column` and
    `output_column`; other columns of text can be used in `template`), or a sequence of Example. The other
    values are those of Strategy and of `pool_neighbours`; `counterfactual` is the share of the contexts with
    a relevant example (one of the same output) in which its label and the target's are replaced by another
    (ccutils.contexts.counterfactual); `paraphraser` is "rules" or "none", or Paraphrases
    made elsewhere. Raises InputError for values that cannot be, and for rows without text.

    >>> rows = [{"input": f"rain in town {i}", "output": "weather"} for i in range(5)]
    >>> made = ContrastiveContexts(rows, k=1, epsilon=0.0)
    >>> next(made.rows())["completion"], len(list(made.rows(epochs=2)))
    (' weather', 10)
    """

    examples: Any
    k: int = 8
    p: float = 0.5
    epsilon: float = 0.1
    similarity: str = "bm25"
    _: KW_ONLY
    strategy: str = "contrastive"
    seed: int = 0
    input_column: str = "input"
    output_column: str = "output"
    template: Template = field(default_factory=Template)
    paraphraser: str | Paraphrases = "rules"
    language: str = "en"
    counterfactual: float = 0.0
    drawn: EpochContexts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        strategy = Strategy(self.strategy, self.k, self.p, self.epsilon)
        pool = read_examples(self.examples, self.input_column, self.output_column)
        inputs = [e.input for e in pool]
        needed = strategy.neighbours
        near = pool_neighbours(inputs, self.k, self.similarity) if needed else None
        sampler = ContextSampler(strategy, near, inputs, self.seed)
        paraphrases = self.paraphraser
        if isinstance(paraphrases, str):
            how = Paraphraser(paraphrases, language=self.language, seed=self.seed)
            made = make_rows(pool, how, None, None)
            paraphrases = Paraphrases(
                {row["input"]: tuple(row["paraphrases"]) for row in made},
                {row["input"]: row["kind"] for row in made},
            )
        check_counterfactual(self.counterfactual)
        relabel = Counterfactual(pool, self.counterfactual) if self.counterfactual else None
        object.__setattr__(self, "drawn", EpochContexts(pool, sampler, paraphrases, counterfactual=relabel))

    def rows(
        self, epochs: int = 1, form: str = "prompt-completion", start: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield a row for each target of each epoch, from place `start` on: nothing before it is computed.

        Rows are a function of the values of this object and of their place. With `counterfactual` each has a
        field of that name: true where labels are wrong on purpose. Raises InputError for a form that is none
        of FORMATS.
        """
        check_count("epochs", epochs)
        if form not in FORMATS:
            raise InputError(f"format {form!r} does not exist{nearest(form, FORMATS)}")
        prompter = Prompter(None, self.template, window=0)  # texts need no tokenizer
        for places in self._places(epochs, start):
            _, pool_rows = self.drawn.targets(np.array(places))
            made = self.drawn.contexts(places)
            for index, (target, demonstrations, _) in zip(pool_rows.tolist(), made, strict=True):
                row = write_row(prompter, demonstrations, target, form)
                if self.counterfactual:
                    row["counterfactual"] = target.output != self.drawn.pool[index].output
                yield row

    def dataset(
        self,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        epochs: int = 1,
        *,
        form: str = "prompt-completion",
        window: int = 0,
    ) -> "Dataset":
        """Return all rows of all epochs as a Hugging Face Dataset, in the order of training.

        Train on it for *one* epoch, without shuffling: it holds the epochs. Without a tokenizer rows are
        texts or messages (`form`), which the trainer tokenises. With one they are `input_ids` and `labels`,
        as notebook 03 trains on them: those of the whole text, the loss on the answer alone (form
        "chat": in the tokenizer's chat template), and demonstrations that do not fit `window` tokens (0:
        the tokenizer's own limit) dropped whole, random ones first. Raises InputError where `datasets` is
        missing.
        """
        try:
            from datasets import Dataset
        except ImportError as error:
            raise InputError("dataset() needs the package datasets: pip install datasets.") from error
        rows = self.rows(epochs, form) if tokenizer is None else self._tokens(tokenizer, epochs, form, window)
        return Dataset.from_list(list(tqdm(rows, total=epochs * len(self.drawn.pool), desc="rows", delay=2)))

    def _tokens(
        self, tokenizer: "PreTrainedTokenizerBase", epochs: int, form: str, window: int
    ) -> Iterator[dict[str, list[int]]]:
        if form not in ("prompt-completion", "chat"):
            raise InputError(f"format {form!r} has no tokens of its own: leave the tokenizer out.")
        check_count("epochs", epochs)
        room = window or int(tokenizer.model_max_length)
        prompter = Prompter(tokenizer, self.template, room, chat=form == "chat")
        prompter.check_alone("pool", self.drawn.pool)
        for places in self._places(epochs, 0):
            for target, demonstrations, nearness in self.drawn.contexts(places):
                prompt = prompter.prompt(demonstrations, target, similarity=nearness)
                yield feature(prompt.ids, prompt.answer)

    def _places(self, epochs: int, start: int) -> Iterator[range]:
        end = epochs * len(self.drawn.pool)
        for first in range(start, end, AT_ONCE):
            yield range(first, min(first + AT_ONCE, end))


def write_row(
    prompter: Prompter, demonstrations: Sequence[Example], target: Example, form: str
) -> dict[str, Any]:
    """Write one prompt and its answer in one of FORMATS."""
    prompt, completion = prompter.text(demonstrations, target), prompter.answer_text(target)
    answer = completion.strip()
    if form == "prompt-completion":
        return {"prompt": prompt, "completion": completion}
    if form == "chat":
        said = [{"role": "assistant", "content": answer}]
        return {"prompt": prompter.messages(demonstrations, target), "completion": said}
    if form == "alpaca":
        return {"instruction": prompt, "input": "", "output": answer}
    if form == "sharegpt":
        return {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]}
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def read_file(path: Path, input_column: str, output_column: str) -> list[Example]:
    """Read examples from a file. Raises InputError as `read_examples` does, with the line."""
    records = read_records(path, (input_column, output_column))
    return [record.example(input_column, output_column) for record in records]


def read_examples(rows: Any, input_column: str, output_column: str) -> list[Example]:
    """Read examples from dicts, a frame, or a Dataset (classes by name); examples are returned as they are.

    Rows are checked as those of files are. Raises InputError, with the row's number, for a missing column, a
    value without text, and a number, which may stand for a label whose name is unknown.
    """
    if hasattr(rows, "itertuples"):
        check_header([str(column) for column in rows.columns], "the frame")
        rows = rows.to_dict("records")
    records, given = [], dict[str, Example]()
    for number, row in enumerate(named_rows(rows)):
        place, values = f"row {number} of the examples", row
        if isinstance(row, Example):
            given[place] = row
            values = {input_column: row.input, output_column: row.output}
        if not isinstance(values, Mapping):
            raise InputError(f"{place} is {row!r}: it must be a mapping of column to value.")
        records.append(Record.of(values, place))
    found = []
    for record in without_headers(records):
        for column in (input_column, output_column):
            if column not in record.values:
                known = ", ".join(record.values)
                raise InputError(f"{record.place} has no column {column!r}: it has {known}.")
            value = record.values[column]
            if not isinstance(value, str):
                raise InputError(
                    f"{record.place} has {value!r} in column {column!r}: it must be a text, leave the row "
                    "out or write numbers as text."
                )
        made = record.example(input_column, output_column)
        found.append(given.get(record.place, made))
    merge_labels([e.output for e in found])
    return found
