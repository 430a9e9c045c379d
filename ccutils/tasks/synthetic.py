"""Two synthetic tasks, generated from a seed (ours): `topics`, words to a label, and `gloss`, word by word.

Both have a long tail (Zipf), so that the weights know the frequent part of the world and rare parts need their
neighbours. The OOD sets are made of topics or words that the pool lacks: only a context can teach them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ccutils.errors import InputError
from ccutils.tasks.base import Example, Task, Template

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
TEMPLATE = Template(question="{input} =", answer=" {output}", separator="\n")
ANY = "_"  # in an expected gloss: a position that is not judged


def topics(
    *,
    seed: int,
    n_topics: int = 80,
    n_novel: int = 40,
    words_per_topic: int = 5,
    input_words: int = 3,
    zipf: float = 1.0,
    pool_size: int = 1000,
    n_test: int = 200,
) -> Task:
    """A few words to one label: every topic owns `words_per_topic` words and one label.

    Topic i is drawn with probability proportional to i ** -zipf; the novel topics of the OOD sets are equally
    frequent. Raises InputError for sizes below 1, zipf below 0, or more input words than a topic has.
    """
    _check(n_topics=n_topics, n_novel=n_novel, input_words=input_words, pool_size=pool_size, n_test=n_test)
    if input_words > words_per_topic:
        raise InputError(f"input_words is {input_words} but words_per_topic only {words_per_topic}: lower it.")
    rng = np.random.default_rng([seed, 1])
    n_all = n_topics + n_novel
    names = pseudo_words(n_all * (words_per_topic + 1), rng)
    labels = [word.upper() for word in names[:n_all]]
    words = np.array(names[n_all:]).reshape(n_all, words_per_topic)  # (topic, word)

    def draw(n: int, probabilities: NDArray[np.float64], first: int) -> list[Example]:
        chosen = first + rng.choice(len(probabilities), size=n, p=probabilities)
        return [
            Example(" ".join(rng.choice(words[t], input_words, replace=False)), labels[t], group=labels[t])
            for t in chosen
        ]

    words_of = {label: list(row) for label, row in zip(labels, words, strict=True)}
    frequency, uniform = zipf_law(n_topics, zipf), np.full(n_novel, 1 / n_novel)
    return Task(
        name="topics",
        pool=draw(pool_size, frequency, 0),
        id_test=draw(n_test, frequency, 0),
        ood_pool=draw(n_novel * 10, uniform, n_topics),
        ood_test=draw(n_test, uniform, n_topics),
        score=exact_match,
        change_labels=lambda target, relevant, irrelevant, rng: change_topic(
            target, relevant, irrelevant, labels[:n_topics], rng
        ),
        relevant=lambda target, example: target.group == example.group,
        paraphrase=lambda example, rng: " ".join(
            rng.choice(words_of[example.group], input_words, replace=False)
        ),
        template=TEMPLATE,
        max_new_tokens=2,
        facts={"seed": seed, "n_topics": n_topics, "n_novel": n_novel, "zipf": zipf, "pool_size": pool_size},
    )


def gloss(
    *,
    seed: int,
    n_words: int = 120,
    n_novel: int = 40,
    sentence_words: int = 4,
    zipf: float = 1.0,
    pool_size: int = 1000,
    n_test: int = 200,
) -> Task:
    """A sentence to a sequence, word by word from a lexicon: similarity has grades, the words two share.

    Word i is drawn with probability proportional to i ** -zipf, without repeats in a sentence. The OOD sets are
    sentences of novel words only. Raises InputError for sizes below 1, zipf below 0, or sentences longer than
    a lexicon.
    """
    _check(n_words=n_words, n_novel=n_novel, sentence_words=sentence_words, pool_size=pool_size, n_test=n_test)
    if sentence_words > min(n_words, n_novel):
        raise InputError(
            f"sentence_words is {sentence_words}, more than n_words or n_novel: lower it or add words."
        )
    rng = np.random.default_rng([seed, 2])
    names = pseudo_words(2 * (n_words + n_novel), rng)
    source, glosses = names[: n_words + n_novel], [word.upper() for word in names[n_words + n_novel :]]
    lexicon = dict(zip(source, glosses, strict=True))

    def draw(n: int, words: list[str], probabilities: NDArray[np.float64]) -> list[Example]:
        sentences = [rng.choice(words, sentence_words, replace=False, p=probabilities) for _ in range(n)]
        return [Example(" ".join(s), " ".join(lexicon[w] for w in s)) for s in sentences]

    frequency, uniform = zipf_law(n_words, zipf), np.full(n_novel, 1 / n_novel)
    return Task(
        name="gloss",
        pool=draw(pool_size, source[:n_words], frequency),
        id_test=draw(n_test, source[:n_words], frequency),
        ood_pool=draw(n_novel * 10, source[n_words:], uniform),
        ood_test=draw(n_test, source[n_words:], uniform),
        score=word_match,
        change_labels=lambda target, relevant, irrelevant, rng: change_glosses(
            target, relevant, irrelevant, glosses[:n_words], rng
        ),
        relevant=lambda target, example: not set(target.input.split()).isdisjoint(example.input.split()),
        template=TEMPLATE,
        max_new_tokens=sentence_words + 1,
        facts={"seed": seed, "n_words": n_words, "n_novel": n_novel, "zipf": zipf, "pool_size": pool_size},
    )


def exact_match(answers: Sequence[str], examples: Sequence[Example]) -> NDArray[np.float64]:
    """1 where the answer is the example's output, white space aside. Shape (n,)."""
    pairs = zip(answers, examples, strict=True)
    return np.array([float(a.split() == e.output.split()) for a, e in pairs], dtype=np.float64)


def word_match(answers: Sequence[str], examples: Sequence[Example]) -> NDArray[np.float64]:
    """Share of positions whose word is right; positions that are ANY in the expected output do not count."""
    scores = []
    for answer, example in zip(answers, examples, strict=True):
        given, wanted = answer.split(), example.output.split()
        judged = [i for i, word in enumerate(wanted) if word != ANY]
        right = sum(i < len(given) and given[i] == wanted[i] for i in judged)
        scores.append(right / len(judged) if judged else np.nan)
    return np.array(scores, dtype=np.float64)


def change_topic(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    labels: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Give the relevant examples one other label, which neither the topic nor the context has."""
    taken = {target.output} | {e.output for e in irrelevant}
    new = str(rng.choice([label for label in labels if label not in taken]))
    return [Example(e.input, new, e.group, e.extra) for e in relevant], new


def change_glosses(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    glosses: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Give each of the target's words a new gloss in the relevant examples; positions not shown become ANY."""
    taken = {word for e in (target, *relevant, *irrelevant) for word in e.output.split()}
    words = target.input.split()
    fresh = rng.choice([g for g in glosses if g not in taken], size=len(words), replace=False)
    new = dict(zip(words, (str(g) for g in fresh), strict=True))
    changed = []
    for e in relevant:
        pairs = zip(e.input.split(), e.output.split(), strict=True)
        changed.append(Example(e.input, " ".join(new.get(w, g) for w, g in pairs), e.group, e.extra))
    shown = {word for e in relevant for word in e.input.split()}
    return changed, " ".join(new[w] if w in shown else ANY for w in words)


def zipf_law(n: int, exponent: float) -> NDArray[np.float64]:
    """Probabilities proportional to rank ** -exponent, shape (n,)."""
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def pseudo_words(n: int, rng: np.random.Generator) -> list[str]:
    """`n` different pronounceable words of two or three syllables."""
    syllables = [c + v for c in CONSONANTS for v in VOWELS]
    two = [a + b for a in syllables for b in syllables]
    if n > len(two):
        two += [word + s for word in two for s in syllables]
    if n > len(two):
        raise InputError(f"the synthetic tasks have {len(two)} words and {n} were asked for: ask for fewer.")
    return [two[i] for i in rng.permutation(len(two))[:n]]


def _check(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} is {value}: it must be at least 1.")
