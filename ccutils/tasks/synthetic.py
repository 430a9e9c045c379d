"""Two synthetic tasks, generated from a seed: `topics`, words to a label, and `gloss`, word by word.

Both have a long tail (Zipf), so that the weights learn the frequent part and rare parts need their
neighbours. The OOD sets have topics or words that the pool lacks: they can only be learned from a context.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from ccutils.errors import InputError
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Paraphrase, RedrawLabels, Task, Template
from ccutils.tasks.brackets import ANY
from ccutils.tasks.metrics import of_outputs, text_match
from ccutils.tasks.relabel import change_as_familiar, change_output
from ccutils.tasks.splits import check_sizes

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
TEMPLATE = Template(question="{input} =", answer=" {output}", separator="\n")


def topics(
    *,
    seed: int,
    n_topics: int = 80,
    n_novel: int = 40,
    words_per_topic: int = 16,
    input_words: int = 4,
    zipf: float = 1.0,
    pool_size: int = 1000,
    n_test: int = 200,
    fresh: float = 0.0,
) -> Task:
    """Generate a few words to one label: every topic owns `words_per_topic` words and one label.

    Topic i is drawn with probability proportional to i ** -zipf; the novel topics of the OOD sets are equally
    frequent. Similarity is graded: two inputs of a topic share from none to all but one of their words, and
    no test input has the words of a pool input in another order. A share `fresh` of the topics, evenly spread
    over frequent and rare ones, has its label resampled in every training context (an ablation: the minimal
    model's irreducible error of the weights). These topics are not tested. Raises InputError for sizes below
    1, zipf below 0, fresh outside [0, 1), or more input words than a topic has.
    """
    check_sizes(
        n_topics=n_topics, n_novel=n_novel, input_words=input_words, pool_size=pool_size, n_test=n_test
    )
    if input_words > words_per_topic:
        raise InputError(
            f"input_words is {input_words} but words_per_topic only {words_per_topic}: lower it."
        )
    if not 0 <= fresh < 1:
        raise InputError(f"fresh is {fresh}: it must be a share of the topics, from 0 to below 1.")
    rng = np.random.default_rng([seed, Stream.TOPICS])
    n_all = n_topics + n_novel
    names = pseudo_words(n_all * (words_per_topic + 1))
    labels = [word.upper() for word in rng.permutation(names[:n_all])]
    words = rng.permutation(names[n_all:]).reshape(n_all, words_per_topic)  # (topic, word)

    def example(topic: int) -> Example:
        return Example(
            " ".join(rng.choice(words[topic], input_words, replace=False)), labels[topic], labels[topic]
        )

    frequency, uniform = zipf_law(n_topics, zipf), zipf_law(n_novel, 0)
    every, novel = [example(t) for t in range(n_topics)], [example(n_topics + t) for t in range(n_novel)]
    changing = {labels[t] for t in range(n_topics) if int((t + 1) * fresh) > int(t * fresh)}
    pool, id_test = draw_sets(
        lambda: example(rng.choice(n_topics, p=frequency)), every, pool_size, n_test, changing
    )
    ood_pool, ood_test = draw_sets(
        lambda: example(n_topics + rng.choice(n_novel, p=uniform)), novel, 10 * n_novel, n_test
    )
    return Task(
        name="topics",
        pool=pool,
        id_test=id_test,
        ood_test=ood_test,
        ood_pool=ood_pool,
        score=of_outputs(text_match),
        change_labels=change_as_familiar(
            labels[:n_topics], labels[n_topics:], partial(change_output, spare=()), lambda e: e.output
        ),
        relevant=lambda target, example: target.group == example.group,
        paraphrase=other_words(pool, [*id_test, *ood_test]),
        redraw_labels=redraw_topics(changing, labels[:n_topics]) if changing else None,
        vocabulary=[*names[n_all:], *labels],
        template=TEMPLATE,
        max_new_tokens=2,
        facts={
            **{"seed": seed, "n_topics": n_topics, "n_novel": n_novel, "zipf": zipf, "pool_size": pool_size},
            **({"fresh": fresh} if fresh else {}),
        },
    )


def gloss(
    *,
    seed: int,
    n_words: int = 120,
    n_novel: int = 40,
    sentence_words: int = 3,
    zipf: float = 1.0,
    pool_size: int = 1000,
    n_test: int = 200,
) -> Task:
    """Generate a sentence to its interlinear gloss, word by word; similarity is the number of shared words.

    The answer repeats each word, followed by its gloss; only glosses are scored. (Glosses alone need
    attention at fixed offsets, which a base this small did not learn in three minutes.) Word i is drawn with
    probability proportional to i ** -zipf, without repeats in a sentence. The OOD sets have sentences of
    novel words only. Raises InputError for sizes below 1, zipf below 0, or sentences longer than a lexicon.
    """
    check_sizes(
        n_words=n_words, n_novel=n_novel, sentence_words=sentence_words, pool_size=pool_size, n_test=n_test
    )
    if sentence_words > min(n_words, n_novel):
        raise InputError(
            f"sentence_words is {sentence_words}, more than n_words or n_novel: lower it or add words."
        )
    rng = np.random.default_rng([seed, Stream.GLOSS])
    n_all = n_words + n_novel
    names = pseudo_words(2 * n_all)
    source, glosses = (
        rng.permutation(names[:n_all]),
        [word.upper() for word in rng.permutation(names[n_all:])],
    )
    lexicon = dict(zip(source, glosses, strict=True))

    def example(words: NDArray[np.str_]) -> Example:
        return Example(" ".join(words), " ".join(f"{w} {lexicon[w]}" for w in words))

    def draw(words: NDArray[np.str_], probabilities: NDArray[np.float64]) -> Example:
        return example(rng.choice(words, sentence_words, replace=False, p=probabilities))

    def cover(words: NDArray[np.str_]) -> list[Example]:
        return [
            example(words[np.arange(i, i + sentence_words) % len(words)])
            for i in range(0, len(words), sentence_words)
        ]

    frequency, uniform = zipf_law(n_words, zipf), zipf_law(n_novel, 0)
    known, novel = source[:n_words], source[n_words:]
    pool, id_test = draw_sets(lambda: draw(known, frequency), cover(known), pool_size, n_test)
    ood_pool, ood_test = draw_sets(lambda: draw(novel, uniform), cover(novel), 10 * n_novel, n_test)
    return Task(
        name="gloss",
        pool=pool,
        id_test=id_test,
        ood_test=ood_test,
        ood_pool=ood_pool,
        score=gloss_match,
        change_labels=change_as_familiar(
            glosses[:n_words], glosses[n_words:], change_glosses, lambda e: glosses_of(e.output)[0]
        ),
        relevant=lambda target, example: not set(target.input.split()).isdisjoint(example.input.split()),
        wrong=gloss_wrong,
        map_labels=map_glosses,
        paraphrase=lambda example, strength, rng: example.input,  # no other sentence has this gloss
        template=TEMPLATE,
        max_new_tokens=2 * sentence_words + 1,
        facts={"seed": seed, "n_words": n_words, "n_novel": n_novel, "zipf": zipf, "pool_size": pool_size},
    )


def other_words(pool: Sequence[Example], tests: Sequence[Example]) -> Paraphrase:
    """Make Task.paraphrase of `topics`: words are replaced by others of the topic, and reordered.

    Strength is the share of replaced words, from 0 (only reordered) to 1. All words are the pool's, and no
    text has a test's words; if none is left, it is the input itself.
    """
    known: dict[str, set[str]] = {}
    for e in pool:
        known.setdefault(e.group, set()).update(e.input.split())
    barred = {words_of(e) for e in tests}

    def paraphrase(example: Example, strength: float, rng: np.random.Generator) -> str:
        own = example.input.split()
        others = sorted(known[example.group] - set(own))
        n = min(round(strength * len(own)), len(others))
        for _ in range(20):
            words = [*rng.permutation(own)[n:], *rng.choice(others or own, n, replace=False)]
            text = " ".join(rng.permutation(words))
            if frozenset(words) not in barred:
                return text
        return example.input

    return paraphrase


def redraw_topics(changing: Collection[str], labels: Sequence[str]) -> RedrawLabels:
    """Make Task.redraw_labels of `topics`: each changing topic gets a label that the context lacks."""

    def redraw(examples: Sequence[Example], rng: np.random.Generator) -> list[Example]:
        shown = sorted({e.group for e in examples}.intersection(changing))
        taken = {e.output for e in examples}
        free = [label for label in labels if label not in taken]
        if len(free) < len(shown):
            raise InputError(f"all {len(labels)} labels are in the context: lower k or raise n_topics.")
        new = dict(zip(shown, map(str, rng.permutation(free)), strict=False))
        return [replace(e, output=new.get(e.group, e.output)) for e in examples]

    return redraw


def draw_sets(
    draw: Callable[[], Example],
    first: list[Example],
    n_pool: int,
    n_test: int,
    untested: Collection[str] = (),
) -> tuple[list[Example], list[Example]]:
    """Draw a pool that begins with `first`, and a test set without `untested` groups and without inputs that
    have the words of a pool input in any order.
    """
    if n_pool < len(first):
        raise InputError(
            f"pool_size is {n_pool}, but {len(first)} examples are needed to show every label once."
        )
    pool = first + [draw() for _ in range(n_pool - len(first))]
    seen = {words_of(e) for e in pool}
    drawn = (draw() for _ in range(1000 * n_test))
    test = list(islice((e for e in drawn if words_of(e) not in seen and e.group not in untested), n_test))
    if len(test) < n_test:
        raise InputError(
            f"pool_size {n_pool} leaves too few unseen inputs for n_test {n_test}: lower one of them."
        )
    return pool, test


def words_of(example: Example) -> frozenset[str]:
    """Return the set of words of an example's input."""
    return frozenset(example.input.split())


def glosses_of(output: str) -> list[str]:
    """List the glosses of an output, without the words."""
    return output.split()[1::2]


def gloss_match(answers: Sequence[str], examples: Sequence[Example]) -> NDArray[np.float64]:
    """Score the share of correct glosses by position, shape (n,); NaN if all expected ones are ANY."""
    scores = []
    for answer, example in zip(answers, examples, strict=True):
        pairs = list(zip_longest(glosses_of(answer), glosses_of(example.output)))
        scored = [given == wanted for given, wanted in pairs if wanted not in (None, ANY)]
        scores.append(sum(scored) / len(scored) if scored else np.nan)
    return np.array(scores, dtype=np.float64)


def gloss_wrong(answer: str, target: Example, irrelevant: Sequence[Example]) -> tuple[float, float]:
    """Compute the shares of glosses that are wrong, and that are wrong and of a demonstration."""
    wanted = glosses_of(target.output)
    shown = {gloss for e in irrelevant for gloss in glosses_of(e.output)}
    wrong = [given for given, w in zip_longest(glosses_of(answer), wanted) if w is not None and given != w]
    return len(wrong) / len(wanted), sum(gloss in shown for gloss in wrong) / len(wanted)


def map_glosses(output: str, change: Callable[[str], str]) -> str:
    """Apply `change` to each gloss of an output, and keep the words.

    >>> map_glosses("mada BOPI", str.lower)
    'mada bopi'
    """
    return " ".join(change(word) if i % 2 else word for i, word in enumerate(output.split()))


def change_glosses(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    glosses: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Give each of the target's words a new gloss in the relevant examples; those not shown become ANY.

    Raises InputError where too few glosses are left.
    """
    taken = {word for e in (target, *relevant, *irrelevant) for word in glosses_of(e.output)}
    words = target.input.split()
    free = [g for g in glosses if g not in taken]
    if len(free) < len(words):
        raise InputError(f"{len(free)} of {len(glosses)} glosses are not in the context: raise n_words.")
    fresh = rng.choice(free, size=len(words), replace=False)
    new = dict(zip(words, (str(g) for g in fresh), strict=True))
    changed = []
    for e in relevant:
        pairs = zip(e.input.split(), glosses_of(e.output), strict=True)
        output = " ".join(f"{w} {new.get(w, g)}" for w, g in pairs)
        changed.append(Example(e.input, output, e.group, e.extra))
    shown = {word for e in relevant for word in e.input.split()}
    return changed, " ".join(f"{w} {new[w] if w in shown else ANY}" for w in words)


def zipf_law(n: int, exponent: float) -> NDArray[np.float64]:
    """Compute probabilities proportional to rank ** -exponent, shape (n,). Raises InputError if below 0."""
    if exponent < 0:
        raise InputError(f"zipf is {exponent}: it must be at least 0, which makes all equally frequent.")
    weights: NDArray[np.float64] = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return np.asarray(weights / weights.sum())


def pseudo_words(n: int) -> list[str]:
    """Make `n` different pronounceable words of two or three syllables, always the same."""
    syllables = [c + v for c in CONSONANTS for v in VOWELS]
    two = [a + b for a in syllables for b in syllables]
    if n > len(two):
        two += [word + s for word in two for s in syllables]
    if n > len(two):
        raise InputError(f"the synthetic tasks have {len(two)} words and {n} were asked for: ask for fewer.")
    return [two[i] for i in np.random.default_rng(0).permutation(len(two))[:n]]
