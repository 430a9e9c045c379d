"""Task `mtop`: a spoken request to its logical form, or to its intent, with held-out domains as OOD sets."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ccutils.errors import InputError, check_choices
from ccutils.streams import Stream
from ccutils.tasks import metrics
from ccutils.tasks.base import Example, Task, Template, label_key, whole_label
from ccutils.tasks.brackets import ParseError, labels, parse_form
from ccutils.tasks.files import Record, Report, here, read_lines, read_records
from ccutils.tasks.hub import hub_splits, is_hub_id, read_hub
from ccutils.tasks.relabel import change_outputs, change_parses
from ccutils.tasks.sequences import wrong_by
from ccutils.tasks.splits import check_sizes, common_words, draw_task, keep_apart, merge_labels
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
TSV_COLUMNS = ("id", "intent", "slot", "utterance", "domain", "locale", "dcp_form", "tokens")
"""Columns of the original TSV files, which have no header."""
ALIASES = {"utterance": ("question",), "dcp_form": ("logical_form",), "locale": ("lang",)}
"""Names in other copies."""


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

    `path` is a folder with the original train.txt, eval.txt, test.txt (or one such folder per language), a
    folder with train.jsonl, dev.jsonl, test.jsonl, or a Hub id. `answer` is "parse" or "intent"; intents have
    their "own" `label_names`, or "invented" ones, the same for every seed, unrelated to their meaning.
    `metric` scores parses: "exact", "intent" or "slot_f1". `test_split` is "test", or "dev" for choosing
    settings. The pool has `pool_size` train utterances, redrawn with each seed; requests of `ood_domains` are
    in the OOD sets only. Raises InputError for unknown options and unreadable data.
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
    held = set(map(label_key, ood_domains))
    for domain in ood_domains:
        if label_key(domain) not in domains.values():
            known = ", ".join(sorted(set(domains.values())))
            raise InputError(f"ood_domains has {domain!r}, which {path} lacks: it has {known}.")
    make = partial(parse_example, language=language, answer=answer, domains=domains)
    train, test = (report.examples(raw[split], make) for split in ("train", test_split))
    if label_names == "invented":
        intents = sorted({*domains, *(e.extra["intent"] for e in [*train, *test])})
        names = dict(zip(intents, pseudo_words(len(intents)), strict=True))
        train, test = ([replace(e, output=names[e.output]) for e in part] for part in (train, test))
    every = [*train, *test]
    report.warn("not a logical form", "locale", "text that is not")
    report.check(every, path)
    known_tests, novel_tests, novel, pool = (
        [e for e in part if (e.group in held) == ood]
        for part, ood in ((test, False), (test, True), (train, True), (train, False))
    )
    sets = {"id_test": known_tests, "ood_test": novel_tests, "ood_pool": novel, "pool": pool}
    sets, dropped = keep_apart(sets)
    drawn = draw_task(
        "mtop",
        sets,
        dropped,
        report,
        sizes={"pool": pool_size, "id_test": n_test, "ood_test": n_test},
        fixed=np.random.default_rng(0),
        rng=np.random.default_rng([seed, Stream.MTOP]),
        facts={
            "seed": seed,
            "source": path,
            "language": language,
            "split_rule": f"pool from train without {', '.join(ood_domains)}, which make the OOD sets; "
            f"tests from {test_split}; an intent's domain is that of the rows which name both",
        },
        advice=f"check language ({language!r}) and ood_domains",
    )
    drawn["facts"]["pool_size"] = len(drawn["pool"])
    merge_labels([e.extra["intent"] for e in sets["pool"]])
    words = common_words(e.input for e in every)
    if answer == "parse":
        shown = {label for e in sets["pool"] for label in labels(parse_form(e.extra["parse"]))}
        score = metrics.of_outputs(PARSE_SCORES[metric])
        change = change_parses
    else:
        shown = {e.output for e in every}
        score = metrics.of_outputs(metrics.text_match)
        change = change_outputs
    return Task(
        **drawn,
        score=score,
        wrong=wrong_by(score),
        vocabulary=[*sorted(shown), *words],
        change_labels=change(drawn["pool"], drawn["ood_pool"]),
        relevant=lambda target, e: label_key(target.extra["intent"]) == label_key(e.extra["intent"]),
        map_labels=None if answer == "parse" else whole_label,
        language=language,
        template=PARSE_TEMPLATES[answer],
        max_new_tokens=160 if answer == "parse" else 16,
    )


def read_split(path: str, language: str, split: str) -> list[Record]:
    """Read the rows of one split, in the form that `path` has."""
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
        f"path {path!r} has neither {original}.txt nor {split}.jsonl, nor a folder {language!r} with them: "
        "give MTOP's folder or a Hub id."
    )


def read_original(path: Path) -> list[Record]:
    """Read MTOP's own tab-separated files, which have eight columns and no header."""
    records = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) != len(TSV_COLUMNS):
            raise InputError(
                f"{path}, line {number}: {len(cells)} columns, not {len(TSV_COLUMNS)}; correct it."
            )
        records.append(Record(dict(zip(TSV_COLUMNS, cells, strict=True)), f"{path}, line {number}"))
    if not records:
        raise InputError(f"{path} is empty: it must hold at least one row.")
    return records


def field(record: Record, name: str) -> str:
    """Look up a field by any of its names; one Hub copy has each column with and without a leading space."""
    names = (name, *ALIASES.get(name, ()))
    return record.text(*(spaced for n in names for spaced in (n, f" {n}")))


def domains_of_intents(records: Sequence[Record]) -> dict[str, str]:
    """Map each intent to its commonest domain in the rows that name both.

    Some copies name the domain in the test split only.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        intent = label_key(field(record, "intent")).removeprefix("IN:")
        domain = label_key(field(record, "domain"))
        if intent and domain:
            seen[intent][domain] += 1
    if not seen:
        raise InputError("no row of MTOP names its intent and domain: the OOD sets are domains.")
    return {intent: max(sorted(counts), key=counts.__getitem__) for intent, counts in seen.items()}


def parse_example(record: Record, language: str, answer: str, domains: Mapping[str, str]) -> Example | str:
    """Make an example of a row, or say why there is none.

    A row needs a domain, or an intent that has one in other rows: it may belong to a held-out domain.
    """
    utterance, form, locale = (field(record, name) for name in ("utterance", "dcp_form", "locale"))
    if not utterance or not form:
        return "no utterance" if form else "no logical form"
    if locale and not locale.lower().startswith(language.lower()):
        return f"locale {locale} is not {language}"
    try:
        tree = parse_form(form)
    except ParseError as error:
        return f"not a logical form: {error}"
    intent = tree.label.removeprefix("IN:")
    domain = label_key(field(record, "domain")) or domains.get(label_key(intent), "")
    if not domain:
        return "no row names the domain of its intent"
    output = str(tree) if answer == "parse" else intent
    return Example(utterance, output, domain, {"intent": intent, "parse": str(tree)})
