"""Contrastive contexts for your own trainer: prompts from labelled rows, with new contexts in every epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
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
"""The form of a row. prompt-completion: two texts. chat: the same as lists of messages, each demonstration
two turns of the prompt (TRL's conversational prompt-completion). messages, alpaca, sharegpt: one question
with the demonstrations, and one answer, so that a trainer that learns every answer learns no other."""
AT_ONCE = 256  # contexts sampled in one call


@dataclass(frozen=True, slots=True)
class ContrastiveContexts:
    """Prompts for IC-Train from labelled examples, for your own trainer.

    `examples` is a list of dicts, a pandas frame, a Hugging Face Dataset (columns `input_column` and
    `output_column`; other columns of text can be used in `template`), or a sequence of Example. The other
    values are those of Strategy and of `pool_neighbours`; `counterfactual` is the share of the contexts with
    a relevant example (one of the same output) in which its label and the target's are replaced by another
    (ccutils.contexts.counterfactual); `paraphraser` is "rules" or "none", or existing Paraphrases. Raises
    InputError for values out of range and for rows without text.

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
        near = pool_neighbours(inputs, self.k, self.similarity) if strategy.neighbours else None
        sampler = ContextSampler(strategy, near, inputs, self.seed)
        paraphrases = self.paraphraser
        if isinstance(paraphrases, str):
            how = Paraphraser(paraphrases, language=self.language, seed=self.seed)
            paraphrases = Paraphrases.of(make_rows(pool, how))
        check_counterfactual(self.counterfactual)
        relabel = Counterfactual(pool, self.counterfactual) if self.counterfactual else None
        object.__setattr__(self, "drawn", EpochContexts(pool, sampler, paraphrases, counterfactual=relabel))

    def rows(
        self, epochs: int = 1, form: str = "prompt-completion", start: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield a row for each target of each epoch, from index `start` on; earlier rows are not computed.

        Rows are a function of the values of this object and of their index. With `counterfactual` each has a
        field of that name: true if labels are wrong on purpose. Raises InputError for a form that is not in
        FORMATS.
        """
        if form not in FORMATS:
            raise InputError(f"format {form!r} does not exist{nearest(form, FORMATS)}")
        prompter = Prompter(None, self.template, window=0)  # texts need no tokenizer
        for indices in self._batches(epochs, start):
            _, pool_rows = self.drawn.targets(np.array(indices))
            made = self.drawn.contexts(indices)
            for pool_row, (target, demonstrations, _) in zip(pool_rows.tolist(), made, strict=True):
                row = write_row(prompter, demonstrations, target, form)
                if self.counterfactual:
                    row["counterfactual"] = target.output != self.drawn.pool[pool_row].output
                yield row

    def dataset(
        self,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        epochs: int = 1,
        *,
        form: str = "prompt-completion",
        window: int = 0,
    ) -> "Dataset":
        """Collect all rows of all epochs in a Hugging Face Dataset, in the order of training.

        Train on it for *one* epoch, without shuffling: it contains the epochs. Without a tokenizer rows are
        texts or messages (`form`), which the trainer tokenises. With one they are `input_ids` and `labels`,
        as notebook 03 trains on them: the tokens of the whole text, with loss on the answer alone (form
        "chat": in the tokenizer's chat template), without the demonstrations that do not fit `window` tokens
        (0: the tokenizer's own limit), random ones dropped first. Raises InputError if `datasets` is missing.
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
            raise InputError(f"format {form!r} is not available as tokens: omit the tokenizer.")
        room = window or int(tokenizer.model_max_length)
        prompter = Prompter(tokenizer, self.template, room, chat=form == "chat")
        drawn = replace(self.drawn, prompter=prompter)
        for indices in self._batches(epochs, 0):
            for prompt in drawn.prompts(indices):
                yield feature(prompt.ids, prompt.answer)

    def _batches(self, epochs: int, start: int) -> Iterator[range]:
        check_count("epochs", epochs)
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
    """Read examples from dicts, a frame, or a Dataset (classes by name); return given Examples unchanged.

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
                raise InputError(f"{record.place} has no column {column!r}; found: {known}.")
            if not isinstance(record.values[column], str):
                raise InputError(
                    f"{record.place} has {record.values[column]!r} in column {column!r}: it must be a text; "
                    "leave the row out or write numbers as text."
                )
        made = record.example(input_column, output_column)
        found.append(given.get(record.place, made))
    merge_labels([e.output for e in found])
    return found
