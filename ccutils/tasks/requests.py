"""Requests of daily life and what is wanted: English, written by a grammar of our own, nothing to download.

Similarity is graded: requests share a line with other fillers, an intent with other lines, a domain, or
nothing. Intents have a long tail (Zipf), so that the weights know the frequent ones and rare ones need their
neighbours; whole domains are held out as OOD sets. A test input shares no filler of a slot with any input of
a pool, and every second one not its line either; what they may share is a frame, such as "please".
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ccutils.errors import InputError, check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Task, Template, whole_label
from ccutils.tasks.brackets import Node, parse_form, words_below
from ccutils.tasks.grammar import Grammar, Intent, draw_request, other_wording, read_grammar, short_parse
from ccutils.tasks.relabel import change_outputs, change_parses
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import check_sizes, common_words, normalise
from ccutils.tasks.synthetic import pseudo_words, zipf_law

INTENT_TEMPLATE = Template(question="Request: {input}\nIntent:", separator="\n")
REQUEST_TEMPLATES = {
    "intent": INTENT_TEMPLATE,
    "parse": Template(question="Request: {input}\nLogical form:", separator="\n"),
    "invented": INTENT_TEMPLATE,
}
OOD_EACH = 40  # examples of the OOD pool for each of its intents
SHARED_LINES = 0.5  # of test inputs: with none, the nearest example was of another intent for seven in ten
IN_VAIN = 1000  # draws one after another that give nothing new: then the grammar is taken to have no more


def requests(
    *,
    seed: int,
    answer: str = "intent",
    ood_domains: Sequence[str] = ("travel", "health", "money"),
    zipf: float = 1.0,
    pool_size: int = 1000,
    n_test: int = 200,
    test_split: str = "test",
) -> Task:
    """Return requests to the name of their intent, or to a short parse in MTOP's notation.

    `answer` is "intent", "parse", or "invented": for each intent a name that no language has, always the same
    one, which only a context or training can tell. Intent i of the pool and the ID test is drawn with
    probability proportional to i ** -zipf, in an order that all seeds share; those of `ood_domains`, in OOD
    sets alone, are equally frequent. The pools are drawn anew with each seed, the tests are the same for all;
    `test_split` is "test", or "dev" (other inputs of the tests' own lines) to choose settings on. Raises
    InputError for unknown options and for sizes that the grammar cannot fill.
    """
    check_sizes(pool_size=pool_size, n_test=n_test)
    check_choices(answer=(answer, REQUEST_TEMPLATES), test_split=(test_split, ["test", "dev"]))
    grammar = read_grammar()
    check_domains(ood_domains, {intent.domain for intent in grammar.intents})
    known = [intent for intent in grammar.intents if intent.domain not in ood_domains]
    novel = [intent for intent in grammar.intents if intent.domain in ood_domains]
    fixed = np.random.default_rng([0, Stream.REQUESTS_FIXED])
    rng = np.random.default_rng([seed, Stream.REQUESTS])
    names = None if answer == "parse" else intent_names(grammar, answer)
    ranked = [known[i] for i in fixed.permutation(len(known))]
    if pool_size < len(known):
        raise InputError(f"pool_size is {pool_size}, but {len(known)} are needed to show every intent once.")
    frequency = zipf_law(len(ranked), zipf)

    def some(of: Sequence[Intent], side: str, size: int, rng: np.random.Generator) -> list[Example]:
        law = frequency if of is ranked else zipf_law(len(of), 0)
        return draw_distinct(grammar, of, law=law, side=side, size=size, names=names, rng=rng)

    at = slice(n_test) if test_split == "test" else slice(n_test, 2 * n_test)
    id_test, ood_test = (some(of, "test", 2 * n_test, fixed)[at] for of in (ranked, novel))
    pool, ood_pool = some(ranked, "pool", pool_size, rng), some(novel, "pool", OOD_EACH * len(novel), rng)
    parses = answer == "parse"
    score = metrics.of_outputs(metrics.parse_match if parses else metrics.text_match)
    by_name = {intent.name: intent for intent in grammar.intents}

    return Task(
        name="requests",
        pool=pool,
        id_test=id_test,
        ood_test=ood_test,
        ood_pool=ood_pool,
        score=score,
        wrong=wrong_by(score),
        change_labels=(change_parses if parses else change_outputs)(pool, ood_pool),
        relevant=lambda target, e: target.extra["intent"] == e.extra["intent"],
        map_labels=None if parses else whole_label,
        paraphrase=lambda e, strength, rng: other_wording(
            by_name[e.extra["intent"]], fillers(e), e.input, rng
        ),
        vocabulary=vocabulary(grammar, answer),
        template=REQUEST_TEMPLATES[answer],
        max_new_tokens=64 if parses else 12,
        facts={
            "seed": seed,
            "source": "a grammar of our own",
            "split_rule": f"OOD: domains {', '.join(ood_domains)}; fillers of tests, and half of their "
            "lines, are in no pool",
            "intents": len(known),
            "ood_intents": len(novel),
            "zipf": zipf,
            "pool_size": pool_size,
        },
    )


def check_domains(held: Sequence[str], known: Collection[str]) -> None:
    """Raise InputError for an unknown domain, and if none or all are held out."""
    for domain in held:
        check_choices(ood_domains=(domain, sorted(known)))
    if not 0 < len(set(held)) < len(known):
        raise InputError(f"ood_domains is {list(held)}: hold out one domain or more, and not all.")


def draw_distinct(
    grammar: Grammar,
    intents: Sequence[Intent],
    *,
    law: NDArray[np.float64],
    side: str,
    size: int,
    names: Mapping[str, str] | None,
    rng: np.random.Generator,
) -> list[Example]:
    """Draw `size` examples with different inputs; a pool begins with one of each intent.

    The answer is the intent's entry in `names`; None: a parse. An intent whose requests are all drawn gives
    way to the others. Raises InputError where all are.
    """
    seen: set[str] = set()
    found: list[Example] = []
    in_vain = 0
    while len(found) < size:
        first = side == "pool" and len(found) < len(intents)
        intent = intents[len(found) if first else int(rng.choice(len(intents), p=law))]
        e = request_example(grammar, intent, side=side, names=names, rng=rng)
        in_vain += 1
        if normalise(e.input) not in seen:
            seen.add(normalise(e.input))
            found.append(e)
            in_vain = 0
        if in_vain == IN_VAIN:
            what = "pool_size" if side == "pool" else "n_test"
            raise InputError(f"{what} is too large: the grammar has little more than {len(found)}, lower it.")
    return found


def request_example(
    grammar: Grammar,
    intent: Intent,
    *,
    side: str,
    names: Mapping[str, str] | None,
    rng: np.random.Generator,
) -> Example:
    """Draw one request as an example; `extra` tells its intent, its parse and the line it was written by."""
    lines = "pool" if side == "test" and rng.random() < SHARED_LINES else side
    drawn = draw_request(grammar, intent, side, rng, lines=lines)
    if lines != side and not drawn.slots:  # with nothing filled in it would be a request of the pool
        lines = side
        drawn = draw_request(grammar, intent, side, rng)
    form = str(short_parse(intent.name, drawn.slots))
    extra = {"intent": intent.name, "parse": form, "line": f"{intent.name} {lines} {drawn.line}"}
    output = names[intent.name] if names else form
    return Example(drawn.text, output, intent.domain, extra)


def intent_names(grammar: Grammar, answer: str) -> dict[str, str]:
    """Return what each intent is called in answers: its own name, or an invented word."""
    names = [intent.name for intent in grammar.intents]
    return dict(zip(names, pseudo_words(len(names)) if answer == "invented" else names, strict=True))


def fillers(e: Example) -> dict[str, str]:
    """Return the fillers of an example's slots, by the slots' names."""
    slots = (child for child in parse_form(e.extra["parse"]).children if isinstance(child, Node))
    return {slot.label.removeprefix("SL:").lower(): words_below(slot) for slot in slots}


def vocabulary(grammar: Grammar, answer: str) -> list[str]:
    """Return all words of the grammar, and the labels, for the tiny base's tokenizer."""
    wordings = [
        w for i in grammar.intents for lines in i.lines.values() for line in lines for w in line.wordings
    ]
    said = [*wordings, *(f for kinds in grammar.slots.values() for side in kinds.values() for f in side)]
    if answer != "parse":
        return [*intent_names(grammar, answer).values(), *common_words(said)]
    slots = {f"SL:{name.upper()}" for name in (*grammar.slots, "origin")}
    return [*(f"IN:{i.name.upper()}" for i in grammar.intents), *sorted(slots), *common_words(said)]
