"""MTOP: a spoken request to its logical form, or to its intent alone, with held-out domains as OOD sets."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ccutils.errors import InputError, check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Task, Template, label_key, whole_label
from ccutils.tasks.brackets import ParseError, labels, parse_form
from ccutils.tasks.files import Record, Report, here, read_lines, read_records
from ccutils.tasks.hub import hub_splits, is_hub_id, read_hub
from ccutils.tasks.relabel import change_as_familiar, change_output, change_parse, parse_labels
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import check_filled, check_sizes, common_words, keep_apart, merge_labels, take
from ccutils.tasks.synthetic import pseudo_words

PARSE_TEMPLATES = {
    "parse": Template(
        instruction="Write the logical form of each request: its intent, and the slots it fills.\n\n",
        question="Request: {input}\nLogical form:",
    ),
    "intent": Template(question="{input} =", answer=" {output}", separator="\n"),
}
PARSE_SCORES: dict[str, metrics.Metric] = {
    "exact": metrics.parse_match,
    "intent": metrics.intent_match,
    "slot_f1": metrics.slot_f1,
}
TSV_COLUMNS = (
    "id",
    "intent",
    "slot",
    "utterance",
    "domain",
    "locale",
    "dcp_form",
    "tokens",
)  # of the original TSV
ALIASES = {"utterance": ("question",), "dcp_form": ("logical_form",), "locale": ("lang",)}
"""What other copies call them."""
TEST_SEED = 0  # the test sets are the same for every seed


def mtop(
    *,
    seed: int,
    path: str = "WillHeld/mtop",
    language: str = "en",
    answer: str = "parse",
    label_names: str = "own",
    metric: str = "exact",
    ood_domains: Sequence[str] = ("people", "timer"),
    pool_size: int = 1000,
    n_test: int = 500,
    test_split: str = "test",
) -> Task:
    """Load MTOP in one of its languages (the paper uses es, de and fr).

    `path` is a folder with the original train.txt, eval.txt, test.txt (or one folder of these a language), a
    folder with train.jsonl, dev.jsonl, test.jsonl, or a Hub id. `answer` is "parse" or "intent"; intents have
    their "own" `label_names`, or "invented" ones, the same for every seed, unrelated to what they mean.
    `metric` judges parses: "exact", "intent" or "slot_f1". `test_split` is "test", or "dev" to choose
    settings on. The pool has `pool_size` train utterances, redrawn with each seed; requests of `ood_domains`
    are in the OOD sets alone. Raises InputError for unknown options and unreadable data.
    """
    check_sizes(pool_size=pool_size, n_test=n_test)
    check_choices(
        answer=(answer, PARSE_TEMPLATES),
        label_names=(label_names, ["own", *(["invented"] if answer == "intent" else [])]),
        metric=(metric, PARSE_SCORES),
        test_split=(test_split, ["test", "dev"]),
    )
    report = Report()
    raw = {split: read_split(path, language, split) for split in ("train", "dev", "test")}
    domains = domains_of_intents([record for records in raw.values() for record in records])
    known_domains = set(domains.values())
    held = {label_key(domain) for domain in ood_domains}
    for domain in ood_domains:
        if label_key(domain) not in known_domains:
            raise InputError(
                f"ood_domains has {domain!r}, which {path} lacks: it has {', '.join(sorted(known_domains))}."
            )
    read: dict[str, list[Example]] = {}
    for split in ("train", test_split):
        made = (parse_example(r, language, answer, domains, report) for r in raw[split])
        read[split] = [e for e in made if e is not None]
    if label_names == "invented":
        intents = sorted({*domains, *(e.extra["intent"] for part in read.values() for e in part)})
        invented = dict(zip(intents, pseudo_words(len(intents)), strict=True))
        read = {split: [replace(e, output=invented[e.output]) for e in part] for split, part in read.items()}
    report.read = sum(len(raw[split]) for split in read)
    report.warn("not a logical form")
    report.warn("locale")
    report.warn("text that is not")
    report.check([e for part in read.values() for e in part], path)

    def part(split: str, ood: bool) -> list[Example]:
        return [e for e in read[split] if (e.group in held) == ood]

    sets, dropped = keep_apart(
        {
            "id_test": part(test_split, False),
            "ood_test": part(test_split, True),
            "ood_pool": part("train", True),
            "pool": part("train", False),
        }
    )
    fixed, rng = np.random.default_rng(TEST_SEED), np.random.default_rng([seed, Stream.MTOP])
    pool = take(sets["pool"], pool_size, rng)
    ood_pool = take(sets["ood_pool"], len(sets["ood_pool"]), rng)
    merge_labels([e.extra["intent"] for e in sets["pool"]])
    names = sorted({label for e in sets["pool"] for label in labels(parse_form(e.extra["parse"]))})
    answers = sorted({e.output for part in read.values() for e in part}) if answer == "intent" else names
    score = metrics.of_outputs(PARSE_SCORES[metric] if answer == "parse" else metrics.text_match)
    task = Task(
        name="mtop",
        pool=pool,
        id_test=take(sets["id_test"], n_test, fixed),
        ood_test=take(sets["ood_test"], n_test, fixed),
        ood_pool=ood_pool,
        score=score,
        wrong=wrong_by(score),
        vocabulary=[*answers, *common_words(e.input for part in read.values() for e in part)],
        change_labels=(
            change_as_familiar(pool, ood_pool, change_parse, parse_labels)
            if answer == "parse"
            else change_as_familiar(pool, ood_pool, change_output)
        ),
        relevant=lambda target, e: label_key(target.extra["intent"]) == label_key(e.extra["intent"]),
        map_labels=None if answer == "parse" else whole_label,
        language=language,
        template=PARSE_TEMPLATES[answer],
        max_new_tokens=160 if answer == "parse" else 16,
        facts={
            "seed": seed,
            "source": path,
            "language": language,
            "split_rule": f"pool from train without {', '.join(ood_domains)}, which make the OOD sets; "
            f"tests from {test_split}; an intent's domain is that of the rows which name both",
            **report.facts(),
            **dropped,
            "pool_size": len(pool),
        },
    )
    check_filled(
        "mtop",
        {"pool": task.pool, "id_test": task.id_test, "ood_test": task.ood_test, "ood_pool": task.ood_pool},
        dropped=dropped,
        advice=f"check language ({language!r}) and ood_domains",
        cause=report.cause(),
    )
    return task


def read_split(path: str, language: str, split: str) -> list[Record]:
    """Read the rows of one split, in whichever of the known forms `path` holds."""
    original = "eval" if split == "dev" else split  # the name in the original release and its Hub copies
    if is_hub_id(path):
        names = {"train": ("train",), "dev": ("validation", "eval", "dev"), "test": ("test",)}[split]
        there = hub_splits(path)  # a split for each language, or all languages in one
        found = next((n for n in (f"{original}_{language}", *names) if n in there), None)
        if found is None:
            raise InputError(
                f"data set {path!r} has no {split} split for {language!r}: it has {', '.join(there)}."
            )
        return read_hub(path, found)
    for folder in (here(path) / language, here(path)):
        if (folder / f"{original}.txt").is_file():
            return read_original(folder / f"{original}.txt")
        if (folder / f"{split}.jsonl").is_file():
            return read_records(folder / f"{split}.jsonl")
    raise InputError(
        f"path {path!r} holds neither {original}.txt nor {split}.jsonl, nor a folder {language!r} with them: "
        "give MTOP's folder or a Hub id."
    )


def read_original(path: Path) -> list[Record]:
    """Read MTOP's own tab-separated files, which have eight columns and no header."""
    records = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) != len(TSV_COLUMNS):
            raise InputError(f"{path}, line {number}: {len(cells)} columns, not {len(TSV_COLUMNS)}; mend it.")
        records.append(Record(dict(zip(TSV_COLUMNS, cells, strict=True)), f"{path}, line {number}"))
    if not records:
        raise InputError(f"{path} is empty: it must hold at least one row.")
    return records


def field(record: Record, name: str) -> str:
    """Return a field by any of its names; one Hub copy has each column twice, with and without a leading
    space.
    """
    names = (name, *ALIASES.get(name, ()))
    return record.text(*(spaced for n in names for spaced in (n, f" {n}")))


def domains_of_intents(records: Sequence[Record]) -> dict[str, str]:
    """Return the domain of each intent, from the rows that name both; an intent seen in several has the
    commonest.

    Needed because some copies name the domain in the test split only.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        intent = label_key(field(record, "intent")).removeprefix("IN:")
        domain = label_key(field(record, "domain"))
        if intent and domain:
            seen[intent][domain] += 1
    if not seen:
        raise InputError("no row of MTOP names its intent and domain: the OOD sets are made of domains.")
    return {intent: max(sorted(counts), key=counts.__getitem__) for intent, counts in seen.items()}


def parse_example(
    record: Record, language: str, answer: str, domains: dict[str, str], report: Report
) -> Example | None:
    """Return the row as an example, or None after telling the report why not.

    A row without a domain whose intent no row places is set aside: it may belong to a held-out domain.
    """
    utterance, form, locale = (field(record, name) for name in ("utterance", "dcp_form", "locale"))
    if not utterance or not form:
        report.set_aside(record, "no utterance" if form else "no logical form")
        return None
    if locale and not locale.lower().startswith(language.lower()):
        report.set_aside(record, f"locale {locale} is not {language}")
        return None
    if not report.usable(record, utterance, form, field(record, "domain")):
        return None
    try:
        tree = parse_form(form)
    except ParseError as error:
        report.set_aside(record, f"not a logical form: {error}")
        return None
    intent = tree.label.removeprefix("IN:")
    domain = label_key(field(record, "domain")) or domains.get(label_key(intent), "")
    if not domain:
        report.set_aside(record, "no row names the domain of its intent")
        return None
    output = str(tree) if answer == "parse" else intent
    return Example(utterance, output, domain, {"intent": intent, "parse": str(tree)})
