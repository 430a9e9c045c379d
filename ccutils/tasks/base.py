"""Data classes of a task: labelled examples in four sets, a score, and what the probes need of it."""

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

    The OOD split holds out whole values of `group` (topic, domain, document, database). `extra` has what a
    prompt or a metric needs besides input and output, such as a database's id and schema.
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
    """Format of a prompt: the instruction, every demonstration (question + answer + separator), and the
    target's question; the target's answer is the completion.

    `question` and `answer` are `str.format` patterns over input, output and the keys of `extra`;
    `instruction` and `separator` are literal.
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
follows them. The weights cannot know the new labels, which differ from every label in the context."""

Wrong = Callable[[str, Example, Sequence[Example]], tuple[float, float]]
"""(answer, target, irrelevant demonstrations) -> (share of the answer that is wrong, share that is both wrong
and repeats the label of one of those demonstrations), each in [0, 1]; the Copy-score uses both."""

RedrawLabels = Callable[[Sequence[Example], np.random.Generator], list[Example]]
"""(a context's examples, the target among them, rng) -> the same with some labels resampled, consistently
for examples that share one: only this context has them."""

MapLabels = Callable[[str, Callable[[str], str]], str]
"""(output, change) -> the output with `change` applied to each of its labels."""

Paraphrase = Callable[[Example, float, np.random.Generator], str]
"""(example, strength, rng) -> its input in other words, with the same label; strength from 0 to 1 is how much
changes, if the task has degrees of it."""


def whole_label(output: str, change: Callable[[str], str]) -> str:
    """Apply `change` to an output that is one label, as in classification."""
    return change(output)


@dataclass(frozen=True, slots=True)
class Task:
    """A fixed task with its data; the four sets share no input.

    `pool` is for training. `id_test` is like the pool; `ood_test` has groups that the pool lacks, and
    `ood_pool` labelled examples of those groups, added after training.
    `relevant(target, example)` is whether an example informs the target's answer.
    `paraphrase` and `wrong` are optional: without `paraphrase`, rules are used, for inputs in `language`, and
    with `frames` such as "please" if allowed (not in a text to translate); without `wrong`, `plain_wrong` of
    ccutils.tasks.sequences is used. `redraw_labels` resamples labels in a training context; without it the
    labels are the pool's. `map_labels` changes the labels in an output, for counterfactual contexts; None if
    outputs are not labels (parses, SQL, translations).
    `vocabulary` has the words of changed labels, and words that this seed's sets may lack, so that all seeds
    share one tiny base. `facts` are recorded with every result: the split rule, rows read and set aside.
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
    splits and scores. Prompts show labels as written.

    >>> label_key("very\u00a0 good") == label_key("very good")
    True
    """
    return " ".join(unicodedata.normalize("NFC", label.translate(INVISIBLE)).split())
