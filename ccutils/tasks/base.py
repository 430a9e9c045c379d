"""What a task is: labelled examples in four sets, a score, and what the probes need to know of it."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Characters that nobody sees and that change no word; joiners do, in emoji and in Indic scripts."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example; line breaks in input and output become spaces.

    `group` is what the OOD split holds out (topic, domain, document, database). `extra` carries what a
    prompt or a metric needs beside input and output, such as a database's id and schema.
    """

    input: str
    output: str
    group: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", one_line(self.input))
        object.__setattr__(self, "output", one_line(self.output))


@dataclass(frozen=True, slots=True)
class Template:
    """How a prompt is written: the instruction, then every demonstration (question + answer + separator),
    then the target's question; the target's answer is what the model is trained on.

    `question` and `answer` are `str.format` patterns over input, output and the keys of `extra`;
    `instruction` and `separator` are written as they are.
    """

    question: str = "Input: {input}\nOutput:"
    answer: str = " {output}"
    separator: str = "\n\n"
    instruction: str = ""


Score = Callable[[Sequence[str], Sequence[Example]], NDArray[np.float64]]
"""(answers, examples) -> quality of each answer in [0, 1], shape (n,)."""

ChangeLabels = Callable[
    [Example, Sequence[Example], Sequence[Example], np.random.Generator], tuple[list[Example], str]
]
"""(target, relevant, irrelevant, rng) -> the relevant examples with changed labels, and the answer that
follows them. The new labels cannot be known to the weights and differ from every label in the context."""


Wrong = Callable[[str, Example, Sequence[Example]], tuple[float, float]]
"""(answer, target, irrelevant demonstrations) -> (share of the answer that is wrong, share that is both wrong
and repeats the label of one of those demonstrations), each in [0, 1]. What the Copy-score is made of."""


RedrawLabels = Callable[[Sequence[Example], np.random.Generator], list[Example]]
"""(a context's examples, the target among them, rng) -> the same with labels drawn anew for some of them,
equal for all that share one: what only this context can know."""


MapLabels = Callable[[str, Callable[[str], str]], str]
"""(output, change) -> the output with `change` applied to each of its labels."""


Paraphrase = Callable[[Example, float, np.random.Generator], str]
"""(example, strength, rng) -> its input in other words, with its label kept; strength from 0 to 1 says how
much changes, where the task has grades of it."""


def whole_label(output: str, change: Callable[[str], str]) -> str:
    """Apply `change` to an output that is one label, as in classification."""
    return change(output)


@dataclass(frozen=True, slots=True)
class Task:
    """A fixed task with its data; the four sets share no input.

    `pool` is trained on. `id_test` is like the pool; `ood_test` holds groups that the pool lacks, and
    `ood_pool` the labelled examples of those groups that arrive at test time (never trained on).
    `relevant(target, example)` says whether an example tells something about the target's answer.
    `paraphrase` and `wrong` are optional: without `paraphrase` there are rules, which need the inputs'
    `language` and whether they may put `frames` around, such as "please" (not for what is to be translated);
    without `wrong`, `plain_wrong` of ccutils.tasks.sequences is used. `redraw_labels` gives some examples of
    a training context labels that hold in it alone; without it the labels are the pool's.
    `map_labels` changes the labels in an output, for counterfactual contexts; None where outputs are not
    labels (parses, SQL, translations).
    `vocabulary` holds words that the tiny base must know although this seed's sets may lack them, so that all
    seeds share one base, and those of changed labels.
    `facts` are recorded with every result: how the split was made, rows read and set aside.
    """

    name: str
    pool: Sequence[Example]
    id_test: Sequence[Example]
    ood_test: Sequence[Example]
    ood_pool: Sequence[Example]
    score: Score
    change_labels: ChangeLabels
    relevant: Callable[[Example, Example], bool]
    template: Template = Template()
    max_new_tokens: int = 64
    wrong: Wrong | None = None
    paraphrase: Paraphrase | None = None
    redraw_labels: RedrawLabels | None = None
    map_labels: MapLabels | None = whole_label
    language: str = "en"
    frames: bool = True
    vocabulary: Sequence[str] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


def one_line(text: str) -> str:
    """Replace line breaks by single spaces: in a prompt, a line break would end an answer.

    >>> one_line("rain = weather\\n\\nsnow")
    'rain = weather snow'
    """
    lines = text.splitlines()
    return text if lines == [text] else " ".join(line.strip() for line in lines if line.strip())


def label_key(label: str) -> str:
    """Normalise a label for comparison: Unicode NFC, each run of white space as one space, no INVISIBLE.

    No-break spaces count as white space; case counts. Labels with the same key are one class in relevance,
    splits and scores. Prompts show labels as they are written.

    >>> label_key("very\u00a0 good") == label_key("very good")
    True
    """
    return " ".join(unicodedata.normalize("NFC", label.translate(INVISIBLE)).split())
