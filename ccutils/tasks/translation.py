"""Task `translation`: a sentence to its translation, from NTREX's files or the Hub."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from ccutils.errors import InputError, check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Score, Task, Template
from ccutils.tasks.files import Record, Report, here, read_lines
from ccutils.tasks.hub import hub_configs, is_hub_id, read_hub
from ccutils.tasks.relabel import INVENTED, pick_shared
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import (
    check_share,
    check_sizes,
    common_words,
    divide,
    draw_task,
    hold_out,
    keep_apart,
)

LANGUAGES = {
    "en": ("English", "eng"),
    "de": ("German", "deu"),
    "lt": ("Lithuanian", "lit"),
    "hi": ("Hindi", "hin"),
    "ta": ("Tamil", "tam"),
}
"""Code, name in prompts, and code in NTREX's file names: the paper's four targets, and English."""
TRANSLATION_METRICS: dict[str, Score] = {
    "chrf": metrics.of_outputs(metrics.chrf),
    "bleu": metrics.of_outputs(metrics.bleu),
    "comet": lambda answers, rows: metrics.comet(answers, [e.output for e in rows], [e.input for e in rows]),
}
LETTER = r"(?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff])"  # Tamil and Hindi write vowels as combining marks
RARE = 0.02  # a content word is in at most this share of the sentences
LETTERS = 4  # minimum length of a content word
DICE = 0.5  # minimum Dice coefficient of two words' sentences, for a pair of the glossary
MOST_ROWS = 20_000  # rows of a Hub set that are used, drawn at random: some have tens of millions


def translation(
    *,
    seed: int,
    path: str,
    source: str = "en",
    target: str = "de",
    ood_path: str | None = None,
    group: str = "document",
    ood_share: float = 0.2,
    metric: str = "chrf",
    pool_size: int = 1000,
    n_test: int = 300,
    max_new_tokens: int = 256,
) -> Task:
    """Load sentences in `source` to sentences in `target`, codes of LANGUAGES.

    `path` is a folder of NTREX (newstest2019-src.eng.txt, newstest2019-ref.deu.txt, DOCUMENT_IDS.tsv) or a
    Hub id with a column `translation`, or `src` and `tgt`. OOD are whole documents, or with `group` "outlet"
    whole news outlets, drawn at random until they hold `ood_share` of the sentences; or all of `ood_path`
    where given (a Hub set's train split has no documents and needs it). `metric` is "chrf", "bleu" or
    "comet". Raises InputError for unknown options and unreadable or misaligned data.
    """
    check_sizes(pool_size=pool_size, n_test=n_test, max_new_tokens=max_new_tokens)
    check_choices(
        source=(source, LANGUAGES),
        target=(target, [code for code in LANGUAGES if code != source]),
        group=(group, ["document", "outlet"]),
        metric=(metric, TRANSLATION_METRICS),
    )
    check_share(ood_share=ood_share)
    report = Report()
    fixed, rng = np.random.default_rng(0), np.random.default_rng([seed, Stream.TRANSLATION])
    make = partial(pair_example, group=group)
    rows = report.examples(read_pairs(path, source, target), make)
    if ood_path is not None:
        novel, rule = report.examples(read_pairs(ood_path, source, target), make), f"all of {ood_path}"
    else:
        counts = Counter(e.group for e in rows)
        if len(counts) < 2:
            raise InputError(f"{path} names no documents: give `ood_path`, data of another domain.")
        held = hold_out(counts, ood_share, fixed)
        novel, rule = [e for e in rows if e.group in held], f"{len(held)} of {len(counts)} {group}s"
        rows = [e for e in rows if e.group not in held]
    every = [*rows, *novel]
    report.warn()
    report.check(every, path)
    (id_test, pool), (ood_test, ood_pool) = divide(rows, [], fixed), divide(novel, [], fixed)
    sets, dropped = keep_apart({"id_test": id_test, "ood_test": ood_test, "ood_pool": ood_pool, "pool": pool})
    lexicon = glossary(every)
    sets = {name: with_pairs(part, lexicon) for name, part in sets.items()}
    drawn = draw_task(
        "translation",
        sets,
        dropped,
        report,
        sizes={"pool": pool_size, "ood_pool": pool_size, "id_test": n_test, "ood_test": n_test},
        fixed=fixed,
        rng=rng,
        facts={
            "seed": seed,
            "source": path,
            "languages": f"{source}-{target}",
            "split_rule": f"OOD: {rule}",
        },
        advice=f"give {path} more sentences, or another ood_share",
    )
    invented = free_words(every)
    words = common_words(text for e in every for text in (e.input, e.output))
    one, other = LANGUAGES[source][0], LANGUAGES[target][0]
    return Task(
        **drawn,
        score=make_translation_score(TRANSLATION_METRICS[metric]),
        wrong=wrong_by(make_translation_score(TRANSLATION_METRICS["chrf"])),  # COMET is too slow one by one
        change_labels=partial(change_word, invented=invented),
        relevant=lambda target, e: not set(pairs_of(target)).isdisjoint(pairs_of(e)),
        map_labels=None,
        language=source,
        frames=False,
        template=Template(
            instruction=f"Translate from {one} to {other}.\n\n", question=f"{one}: {{input}}\n{other}:"
        ),
        max_new_tokens=max_new_tokens,
        vocabulary=changed_words((e for part in sets.values() for e in part), invented) + words,
    )


def read_pairs(path: str, source: str, target: str) -> list[Record]:
    """Read rows with `source`, `target` and, where known, `document`."""
    if is_hub_id(path):
        return read_hub_pairs(path, source, target)
    names = {
        "source": "newstest2019-{}.{}.txt".format("src" if source == "en" else "ref", LANGUAGES[source][1]),
        "target": "newstest2019-{}.{}.txt".format("src" if target == "en" else "ref", LANGUAGES[target][1]),
        "document": "DOCUMENT_IDS.tsv",
    }
    files = {}
    for column, name in names.items():
        places = [folder / name for folder in (here(path), here(path) / "NTREX-128", here(path).parent)]
        found = [file for file in places if file.is_file()]
        if not found:
            raise InputError(f"path {path!r} has no {name}: give NTREX's folder or a Hub id.")
        files[column] = found[0]
    lines = {column: read_lines(file) for column, file in files.items()}
    if len({len(part) for part in lines.values()}) > 1:
        counts = ", ".join(f"{files[column].name} has {len(part)}" for column, part in lines.items())
        raise InputError(f"{path}: files are not aligned by line ({counts} lines): mend or fetch them again.")
    columns = zip(*lines.values(), strict=True)
    return [
        Record(dict(zip(lines, values, strict=True)), f"{files['target']}, line {number}")
        for number, values in enumerate(columns, 1)
    ]


def read_hub_pairs(path: str, source: str, target: str) -> list[Record]:
    """Read the pairs of a Hub set's train split; its configuration is named by both languages, or by one."""
    configs = hub_configs(path)
    names = (f"{source}-{target}", f"{target}-{source}", target if source == "en" else source)
    config = next((name for name in names if name in configs), None)
    if config is None:
        raise InputError(
            f"data set {path!r} has no configuration {' or '.join(names)}: it has {', '.join(configs[:20])}."
        )
    records = []
    for record in read_hub(path, "train", config, MOST_ROWS):
        pair = record.values.get("translation")
        if not isinstance(pair, dict):  # src is English in the sets that have these columns
            english = source == "en"
            one, other = ("src", "tgt") if english else ("tgt", "src")
            pair = {source: record.values.get(one), target: record.values.get(other)}
        records.append(Record({"source": pair.get(source), "target": pair.get(target)}, record.place))
    if not any(record.text("source") and record.text("target") for record in records):
        raise InputError(f"data set {path!r} has no text in column 'translation', nor in 'src' and 'tgt'.")
    return records


def pair_example(record: Record, group: str) -> Example | str:
    """Make an example of a row with text on both sides, or say why there is none."""
    one, other, document = (record.text(name) for name in ("source", "target", "document"))
    if not one or not other:
        return "no sentence" if other else "no translation"
    return Example(one, other, document if group == "document" else document.rpartition(".")[0])


def word_set(text: str) -> set[str]:
    """Find the words of a text, in lower case: runs of LETTER."""
    return set(re.findall(rf"{LETTER}+", text.lower()))


def glossary(rows: Sequence[Example]) -> dict[str, str]:
    """Map content words of the source to the target word that most often occurs with each.

    A pair must be in at least two sentences and reach DICE; content words are long enough and rare.
    """
    sides = [[word_set(e.input) for e in rows], [word_set(e.output) for e in rows]]
    most = max(2.0, RARE * len(rows))
    counts = [Counter(word for sentence in side for word in sentence) for side in sides]
    content = [{w for w, n in c.items() if 2 <= n <= most and len(w) >= LETTERS} for c in counts]
    together = Counter(
        pair
        for one, other in zip(*sides, strict=True)
        for pair in product(one & content[0], other & content[1])
    )
    best: dict[str, tuple[float, str]] = {}
    for (one, other), n in together.items():
        dice = 2 * n / (counts[0][one] + counts[1][other])
        if n >= 2 and dice >= DICE:
            best[one] = max(best.get(one, (0.0, "")), (dice, other))
    return {one: other for one, (_, other) in best.items()}


def with_pairs(rows: Sequence[Example], known: dict[str, str]) -> list[Example]:
    """Add to the examples' `extra` the pairs of the glossary that they contain, as source=target."""
    made = []
    for e in rows:
        there = word_set(e.output)
        pairs = [f"{w}={known[w]}" for w in sorted(word_set(e.input)) if w in known and known[w] in there]
        made.append(replace(e, extra={**e.extra, "pairs": " ".join(pairs)}))
    return made


def pairs_of(e: Example) -> list[str]:
    """List an example's pairs. An example is relevant to a target if they share one."""
    return e.extra["pairs"].split()


def free_words(rows: Sequence[Example]) -> list[str]:
    """List the invented words that are in none of the texts."""
    there = set().union(*(word_set(text) for e in rows for text in (e.input, e.output)))
    return [word for word in INVENTED if word not in there]


def make_translation_score(judge: Score) -> Score:
    """Make the task's score; an answer follows a changed label (`change_word`) if it has the new word."""

    def score(answers: Sequence[str], rows: Sequence[Example]) -> metrics.Scores:
        invented = [word_set(e.output) & set(INVENTED) for e in rows]
        plain = [i for i, new in enumerate(invented) if not new]
        scores = np.array([new <= word_set(a) for a, new in zip(answers, invented, strict=True)], np.float64)
        if plain:
            scores[plain] = judge([answers[i] for i in plain], [rows[i] for i in plain])
        return scores

    return score


def change_word(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    rng: np.random.Generator,
    *,
    invented: Sequence[str],
) -> tuple[list[Example], str]:
    """Replace one word of the target's translation by an invented one, there and in the relevant examples.

    Raises InputError if no relevant example shares a pair, or the texts have all invented words.
    """
    if not invented:
        raise InputError("the texts have every invented word: no word can be changed.")
    old = pick_shared(target, relevant, irrelevant, pairs_of, rng).split("=")[1]
    new = str(rng.choice(invented))
    changed = [replace(e, output=put_word(e.output, old, new)) for e in relevant]
    return changed, put_word(target.output, old, new)


def changed_words(rows: Iterable[Example], invented: Sequence[str]) -> list[str]:
    """List what a changed label can have in place of a word: an invented one with the signs around it."""
    olds = ((e, pair.split("=")[1]) for e in rows for pair in pairs_of(e))
    held = {(text, old) for e, old in olds for text in e.output.split(" ") if old in word_set(text)}
    return sorted({put_word(text, old, new) for text, old in held for new in invented})


def put_word(text: str, old: str, new: str) -> str:
    """Replace one word (in lower case) of a text wherever it stands alone, capital letter kept."""

    def one(match: re.Match[str]) -> str:
        word = new.capitalize() if match[0][0].isupper() else new
        return word if match[0].lower() == old else match[0]

    return re.sub(rf"{LETTER}+", one, text)
