"""Bad inputs, each with the exception or exit code it must get and the name its message must contain.

Entry points are imported inside functions, from subpackages: the table outlives moves of code, and collecting
it imports no torch. A group is a way in, what it must answer with, and the inputs, each with its name.
"""

import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from stub_chain import make_chain

from ccutils.errors import InputError

NAN = float("nan")
NOT_WHOLE, NOT_NUMBER = (True, "3", 2.0, None, [3]), (True, "0.5", None, [0.5])
NOT_BOOL, NOT_TEXT, NOT_MAPPING = (1, "true", None), (3, None, False, ["a"]), ([1], "a", 3, None)


@dataclass(frozen=True)
class Group:
    """One way in. `attempt` gets an empty folder and an input; `expected` is an exception or an exit code."""

    attempt: Callable[[Path, Any], object]
    inputs: list[tuple[Any, str]]
    expected: type[Exception] | int = InputError


def wrong_kinds(values: tuple[Any, ...], *names: str) -> list[tuple[Any, str]]:
    """Cross parameters with values of a wrong kind."""
    return [({name: value}, name) for name in names for value in values]


# Runs


def plan(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.training import Plan

    return Plan(**values)


def settings(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.training import Settings

    return Settings(**values)


def lora(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.models import Lora

    return Lora(**values)


def json_plan(folder: Path, text: str) -> object:
    from ccutils.training import read_plan

    return read_plan(text)


def recipe(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.models import make_recipe

    return make_recipe(values)


PLAN = [
    *wrong_kinds(NOT_WHOLE, "seed", "k", "window", "rank", "alpha", "barred"),
    *wrong_kinds(NOT_NUMBER, "p", "epsilon", "paraphrase_strength"),
    *wrong_kinds(NOT_BOOL, "chat", "quantise"),
    *wrong_kinds(NOT_TEXT, "task", "model", "similarity", "paraphraser", "paraphrase_source", "attention"),
    *wrong_kinds(NOT_TEXT, "results"),
    *wrong_kinds(NOT_MAPPING, "task_options", "recipe"),
    ({"seed": -1}, "seed"),
    ({"window": -5}, "window"),
    ({"rank": 0}, "rank"),
    ({"alpha": 0}, "alpha"),
    ({"targets": []}, "targets"),
    ({"targets": ["q_proj", 3]}, "targets"),
    ({"targets": ".*(q|v"}, "targets"),
    ({"strategy": "contrastive,rank=3"}, "rank=3"),
    ({"strategy": "contrastive,quantise=1"}, "quantise=1"),
    ({"strategy": "contrastive,p"}, "'p'"),
    ({"strategy": "contrastive,k=many"}, "k=many"),
    ({"strategy": "contrastive,similarity=st:org/name"}, "similarity"),
    ({"strategy": "random,steps=0"}, "steps"),
    ({"strategy": "random", "variant": "learning_rate=fast"}, "learning_rate=fast"),
]
SETTINGS = [
    *wrong_kinds(NOT_WHOLE, "steps", "batch", "micro_batch", "n_checkpoints", "keep"),
    *wrong_kinds(NOT_NUMBER, "learning_rate", "warmup"),
    *wrong_kinds(NOT_BOOL, "checkpointing"),
    *wrong_kinds(NOT_TEXT, "optimiser"),
    *(({name: 0}, name) for name in ("steps", "batch", "n_checkpoints", "keep")),
    ({"steps": 3}, "n_checkpoints"),
    ({"micro_batch": -1}, "micro_batch"),
    ({"batch": 8, "micro_batch": 3}, "micro_batch"),
    ({"learning_rate": 0.0}, "learning_rate"),
    ({"learning_rate": 1.0}, "learning_rate"),
    ({"learning_rate": NAN}, "learning_rate"),
    ({"warmup": 1.0}, "warmup"),
    ({"warmup": -0.1}, "warmup"),
    ({"schedule": "cosine"}, "schedule"),
]
LORA = [
    *wrong_kinds(NOT_WHOLE, "rank", "alpha"),
    ({"rank": 0}, "rank"),
    ({"alpha": -1}, "alpha"),
    ({"dropout": 1.0}, "dropout"),
    ({"dropout": True}, "dropout"),
    ({"targets": []}, "targets"),
]
JSON_PLAN = [
    ("{not json", "JSON"),
    ("[1]", "plan"),
    ('{"colour": "red"}', "colour"),
    ('{"paraphrase": "red"}', "paraphrase"),
    ('{"settings": 3}', "settings"),
    ('{"settings": {"stesp": 3}}', "stesp"),
    ('{"k": "6"}', "k"),
]
RECIPE = [
    ({"widht": 32}, "widht"),
    ({"layers": "two"}, "layers"),
    ({"layers": 1.5}, "layers"),
    ({"layers": 0}, "layers"),
    ({"batch": -1}, "batch"),
    ({"episode_steps": 0}, "episode_steps"),
    ({"learning_rate": -1.0}, "learning_rate"),
    ({"width": 30}, "width"),
]

# Contexts and questions


def strategy(folder: Path, values: tuple[Any, ...]) -> object:
    from ccutils.contexts import Strategy

    return Strategy(*values)


def index(folder: Path, values: tuple[list[str], str, int]) -> object:
    from ccutils.contexts import Index

    texts, backend, k = values
    return Index(texts, backend).search(["a"], k)


def paraphraser(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.contexts import choose_paraphraser
    from ccutils.tasks import load_task

    return choose_paraphraser(load_task("topics", seed=0, **TINY), **{"source": "", **values})


def contexts(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.contexts import ContrastiveContexts

    rows = [{"ask": f"word{i} and word{i + 1}", "label": "AB"[i % 2]} for i in range(12)]
    usual = {"k": 2, "input_column": "ask", "output_column": "label"}
    return ContrastiveContexts(values.pop("rows", rows), **{**usual, **values})


def questions(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.probes import make_questions
    from ccutils.tasks import load_task

    return make_questions(
        load_task("topics", seed=0, **TINY), **{"k": 2, "seed": 0, "n_targets": 3, **values}
    )


TINY = {"n_topics": 4, "n_novel": 2, "pool_size": 20, "n_test": 5}
STRATEGY = [
    (("fancy", 3), "fancy"),
    *((("random", value), "k") for value in (0, -1, 2.5, 2.0, True, "3", None)),
    *((("contrastive", 3, value), "p") for value in (1.2, -0.1, NAN, True, "0.5", None)),
    *((("contrastive", 3, 0.5, value), "epsilon") for value in (-0.1, 1.5, NAN, True, "0.1", None)),
    (("contrastive", 3, 0.8, 0.3), "epsilon"),
]
INDEX = [
    ((["a", "b", "c"], "bm25", 0), "k"),
    ((["a", "b", "c"], "bm25", 4), "k"),
    (([], "bm25", 1), "pool"),
    (([], "tfidf", 1), "pool"),
    ((["?!", "..."], "bm25", 1), "bm25"),
    ((["?!", "..."], "tfidf", 1), "tfidf"),
    *(((["a"], name, 1), name) for name in ("bm52", "st:", "")),
]
PARAPHRASER = [
    ({"kind": "llm"}, "llm"),
    ({"kind": "rules", "strength": 1.5}, "strength"),
    ({"kind": "rules", "strength": -0.5}, "strength"),
    ({"kind": "file"}, "file"),
    ({"kind": "model"}, "model"),
]
CONTEXTS = [
    ({"input_column": "text"}, "text"),
    ({"output_column": "answer"}, "answer"),
    ({"rows": [{"ask": "a", "label": 3}] * 4}, "label"),
    ({"rows": [{"ask": "a\ud83d", "label": "A"}] * 4}, "ask"),
    ({"rows": ["a text"]}, "row 0"),
    ({"rows": pd.DataFrame([["a", "b", "c"]], columns=["ask", "ask", "label"])}, "ask"),
    *(({"k": value}, "k") for value in (0, 40, 2.0, True, "2")),
    *(({"p": value}, "p") for value in (1.5, NAN, "half")),
    ({"strategy": "nearest"}, "nearest"),
    ({"similarity": "cosine"}, "cosine"),
    ({"paraphraser": "some"}, "some"),
]
QUESTIONS = [
    *(({"k": value}, "k") for value in (0, 99, 2.0, True, "2")),
    *(({"n_targets": value}, "n_targets") for value in (0, 2.0, True, "2")),
]

# Tasks


def synthetic(folder: Path, values: tuple[str, dict[str, Any]]) -> object:
    from ccutils.tasks import load_task

    return load_task(values[0], seed=0, **values[1])


def table(folder: Path, values: tuple[str, str | bytes | None]) -> object:
    """Load a file as the rows of task `jsonl`, columns a and b."""
    from ccutils.tasks import load_task

    name, content = values
    if content is not None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return load_task("jsonl", seed=0, path=str(folder / name), input_column="a", output_column="b")


def jsonl(folder: Path, options: dict[str, Any]) -> object:
    from ccutils.tasks import load_task

    rows = [{"text": f"say w{i} v{i * i}", "label": f"L{i % 5}", "source": f"s{i % 7}"} for i in range(100)]
    (folder / "x.jsonl").write_text("\n".join(json.dumps(row) for row in rows[: options.pop("rows", 100)]))
    usual = {"path": str(folder / "x.jsonl"), "input_column": "text", "output_column": "label"}
    return load_task("jsonl", seed=0, **{**usual, **options})


def mtop(folder: Path, options: dict[str, Any]) -> object:
    from ccutils.tasks import load_task

    return load_task("mtop", seed=0, **{"path": str(folder), **options})


def text_to_sql(folder: Path, options: dict[str, Any]) -> object:
    from ccutils.tasks import load_task

    if options.pop("database", True):
        connection = sqlite3.connect(folder / "a.sqlite")
        connection.execute("CREATE TABLE city (name TEXT)")
        connection.close()
    rows = [{"question": f"city {i}?", "query": f"SELECT {i} FROM city", "db_id": "a"} for i in range(9)]
    without = options.pop("without", "")
    rows = [{name: value for name, value in row.items() if name != without} for row in rows]
    (folder / "train.json").write_text(json.dumps(rows))
    return load_task("text_to_sql", seed=0, **{"path": str(folder), **options})


def translation(folder: Path, options: dict[str, Any]) -> object:
    from ccutils.tasks import load_task

    return load_task("translation", seed=0, **{"path": str(folder), **options})


SYNTHETIC = [
    (("topic", {}), "topic"),
    (("topics", {"topic": 3}), "topic"),
    (("topics", {"size": 3}), "size"),
    *((("topics", {"n_topics": value}), "n_topics") for value in (0, True, "4", 4.0, None)),
    (("topics", {"n_topics": 900_000}), "words"),
    (("gloss", {"n_test": -1}), "n_test"),
    (("topics", {"zipf": -1.0}), "zipf"),
    (("gloss", {"zipf": -0.5}), "zipf"),
    (("topics", {"input_words": 17}), "input_words"),
    (("gloss", {"n_novel": 2}), "n_novel"),
    (("topics", {"pool_size": 50}), "pool_size"),
    (("topics", {"n_topics": 1, "words_per_topic": 4, "pool_size": 9, "n_test": 9}), "pool_size"),
    (("topics", {"fresh": 1.0}), "fresh"),
]
TABLE = [
    (("none.jsonl", None), "none.jsonl"),
    (("empty.jsonl", ""), "empty.jsonl"),
    (("blank.jsonl", "\n  \n"), "blank.jsonl"),
    (("broken.jsonl", '{"a": 1}\n{"a": \n'), "line 2"),
    (("deep.jsonl", '{"a": 1}\n' + "[" * 100_000), "line 2"),
    (("deep.json", "[" * 100_000), "deep.json"),
    (("list.jsonl", "[1, 2]\n"), "line 1"),
    (("latin.jsonl", b'{"a": "x"}\n{"a": "\xe9"}\n'), "line 2"),
    (("column.jsonl", '{"b": 1}\n'), "'a'"),
    (("half.jsonl", '{"b\\ud83d": 1}\n'), "'a'"),
    (("broken.json", '[{"a": 1},\n {"a" 2}]'), "line 2"),
    (("dict.json", '{"a": 1}'), "dict.json"),
    (("cells.csv", "a,b\n1,2,3\n"), "line 2"),
    (("lead.csv", 'a,b\n "x, y",A\n'), "line 2"),
    (("after.csv", 'a,b\n"x"y,A\n'), "line 2"),
    (("quote.csv", 'a,b\nx,A\n"Goodbye" said word,A\n'), "line 3"),
    (("nul.csv", "a\n\0\n"), "NUL"),
    (("nul.tsv", "a\tb\nx\0\tA\n"), "line 2"),
    (("comma.jsonl", '{"a": 1},\n'), "line 1"),
    (("twice.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n'), "line 2"),
    (("twice.json", '[{"a": 1, "a": 2}]'), "'a'"),
    (("twice.csv", "a,b,a\n1,2,3\n"), "'a'"),
    (("twice.tsv", "a\ta\n1\t2\n"), "'a'"),
    (("fake.parquet", "PAR1 not really"), "fake.parquet"),
    (("x.xlsx", "PK"), ".xlsx"),
]
JSONL = [
    ({"input_column": "question"}, "question"),
    ({"group_column": "topic"}, "topic"),
    ({"metric": "good"}, "good"),
    ({"pool_size": -1}, "pool_size"),
    *(({"pool_size": value}, "pool_size") for value in ("1e3", 20.5, 20.0, True)),
    ({"n_test": True}, "n_test"),
    ({"path": 5}, "path"),
    ({"language": False}, "language"),
    ({"group_column": ""}, "group_column"),
    ({"input_column": ["text"]}, "input_column"),
    ({"nonsense": 1}, "nonsense"),
]
MTOP = [
    ({"ood_domains": "people"}, "ood_domains"),
    ({"ood_domains": [False]}, "ood_domains"),
    ({"answer": "guess"}, "guess"),
    ({"metric": "vibes"}, "vibes"),
    ({"pool_size": 0}, "pool_size"),
    ({"path": "./none"}, "./none"),
]
TEXT_TO_SQL = [
    ({"semantics": "mine"}, "mine"),
    ({"schema": "all"}, "all"),
    ({"ood_share": 1}, "ood_share"),
    ({"ood_share": "half"}, "ood_share"),
    ({"n_test": 0}, "n_test"),
    ({"databases": "/nowhere/at/all"}, "/nowhere/at"),
    ({"database": False}, ".sqlite"),
    ({"without": "query"}, "SQL"),
    ({"without": "db_id"}, "db_id"),
]
TRANSLATION = [
    ({"target": "tlh"}, "tlh"),
    ({"target": "en"}, "target"),
    ({"metric": "ter"}, "ter"),
    ({"group": "city"}, "city"),
    ({"ood_share": 0}, "ood_share"),
]

# Profiles and command lines


def setting(folder: Path, text: str) -> object:
    """Read a chain of stub notebooks with one --set."""
    from ccutils.chain.profiles import read_profile

    return read_profile(make_chain(folder), [text])


def profile(folder: Path, change: tuple[str, str]) -> object:
    """Read a chain's profile with a text replaced."""
    from ccutils.chain.profiles import read_profile

    path = make_chain(folder)
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    return read_profile(path)


def made_profile(folder: Path, changes: dict[str, Any]) -> object:
    from ccutils.chain.profiles import make_profile

    lists = {"models": ["tiny"], "strategies": ["random"], "seeds": [[0]]}
    return make_profile({"tasks": {"topics": {}}, **lists, **changes})


def by_hand(folder: Path, name: str) -> object:
    from ccutils.chain.profiles import notebook_values

    return notebook_values(name, "03_ic_train")


def chain_options(folder: Path, arguments: list[str]) -> int:
    """Run the chain's command line on its own options."""
    from ccutils.chain.cli import main

    return main(arguments)


def chain(folder: Path, setting: str) -> int:
    """Plan the repository's own notebooks with one --set."""
    from ccutils.chain.cli import main

    results = folder / "results"
    return main(["--profile", "smoke", "--dry-run", "--set", f"results={results}", "--set", setting])


def tools(folder: Path, arguments: list[str]) -> int:
    """Run the command `ccutils` in a folder that holds data.csv, columns input and output."""
    from ccutils.tools.cli import main

    path = folder / "data.csv"
    path.write_text("input,output\n" + "".join(f"where is w{i} in v{i},{'AB'[i % 2]}\n" for i in range(20)))
    before = sys.argv
    sys.argv = ["ccutils", *[word.replace("FOLDER", str(folder)) for word in arguments]]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def endpoint(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.tools import Endpoint

    return Endpoint(**{"url": "http://x/v1", "model": "m", **values})


SETTING = [
    ("stesp=3", "stesp"),
    ("steps", "steps"),
    ("=3", "=3"),
    ("steps=[1", "steps"),
    *((f"steps={value}", "steps") for value in ("", "4.0", "ten", "true", "'3'", "[3]")),
    ("steps=010", "010"),
    ("steps=1:30", "1:30"),
    *((f"p={value}", "p") for value in ("2e", "half", "true", "")),
    ("task_options=3", "task_options"),
    ("task_options={a: 1, a: 2}", "'a'"),
    ("task_options={5: 1}", "5"),
    ("task=3", "task"),
    ("task=[]", "task"),
    ("model=[tiny, tiny]", "tiny"),
    ("strategy=[random, random]", "random"),
    ("strategy=5", "strategy"),
    *((f"seeds={value}", "seeds") for value in ("[a]", "[-1]", "[]", "[1, 1]", "[1.0]", "[true]", "")),
    ("results=[a, b]", "results"),
    ("results=''", "results"),
    ("profile=smollm2", "profile"),
]
PROFILE = [
    (("tasks:", "taks:"), "taks"),
    (("models: [tiny]", ""), "models"),
    (("models: [tiny]", "models: [3]"), "models"),
    (("models: [tiny]", "models: tiny"), "models"),
    (("[tiny]", "[tiny, tiny]"), "tiny"),
    (("[[0, 1]]", "[0, 1]"), "seeds"),
    (("[[0, 1]]", "[[0, 1], [1]]"), "seeds"),
    (("[[0, 1]]", "3"), "seeds"),
    (("[[0, 1]]", "[[true]]"), "seeds"),
    (("{topics: {}}", "[topics]"), "tasks"),
    (("{topics: {}}", "{topics: 3}"), "tasks"),
    (("topics:", "yes:"), "True"),
    (("tasks:", "gpu: maybe\ntasks:"), "gpu"),
    (("{k: 4}", "{kk: 4}"), "kk"),
    (("{k: 4}", "{seeds: [4]}"), "seeds"),
    (("{k: 4}", "{profile: cpu}"), "profile"),
    (("{k: 4}", "{k: four}"), "k"),
    (("{k: 4}", "{k: 4.0}"), "k"),
    (("{k: 4}", "{k: true}"), "k"),
    (("{k: 4}", "{k: 4"), "stub.yaml"),
    (("{k: 4}", "{k: 4, k: 5}"), "'k'"),
    (("{k: 4}", "{k: 010}"), "010"),
    (("{k: 4}", "3"), "parameters"),
    (("results: ", "results: '' #"), "results"),
    (("notebooks: ", "notebooks: none #"), "none"),
]
MADE_PROFILE = [
    ({"tasks": {}}, "tasks"),
    ({"models": "tiny"}, "models"),
    ({"strategies": [1]}, "strategies"),
    ({"strategies": ["random", "random"]}, "random"),
    ({"seeds": [[0], [0]]}, "seeds"),
    ({"seeds": [[]]}, "seeds"),
    ({"gpu": 1}, "gpu"),
    ({"results": 3}, "results"),
    ({"parameters": {"k": "6"}}, "k"),
    ({"parameters": {"p": "half"}}, "p"),
    ({"parameters": {"task_options": 3}}, "task_options"),
    ({"tasks": {"topics": {"steps": 4.0}}}, "steps"),
    ({"overrides": {"stesp": 4}}, "stesp"),
]
CHAIN_OPTIONS = [
    (["--frob"], "--frob"),
    (["--prof", "cpu"], "--prof"),
    (["--profle=smoke"], "--profle"),
    (["--cores", "0"], "0"),
    (["--cores", "two"], "two"),
    (["--jobs", "-1"], "-1"),
    (["--profile", "cup"], "cup"),
    (["--profile", "no/such.yaml"], "no/such.yaml"),
    (["doc"], "doc"),
]
CHAIN = [
    ("task=topic", "topic"),
    ("task_options={size: 3}", "size"),
    ("strategy=contrast", "contrast"),
    ("model=./no-such-model", "no-such-model"),
    ("k=0", "k"),
    ("k=100000", "k"),
    ("p=0.95", "epsilon"),
    ("rank=0", "rank"),
    ("alpha=0", "alpha"),
    ("n_targets=0", "n_targets"),
    ("n_checkpoints=9999", "n_checkpoints"),
    ("micro_batch=5", "micro_batch"),
    ("similarity=bm52", "bm52"),
    ("paraphraser=ruls", "ruls"),
    ("paraphraser=file", "file"),
    ("optimiser=adamm", "adamm"),
    ("attention=flash_attn", "flash_attn"),
    ("targets=c_attn", "c_attn"),
    ("targets=[q_proj, v_prj]", "v_prj"),
    ("window=5", "window"),
    ("window=-1", "window"),
    ("chat=true", "chat"),
    ("recipe={layer: 1}", "layer"),
    ("recipe={layers: 0}", "layers"),
    ("barred=2", "barred"),
    ("elsewhere={topic: {}}", "topic"),
    ("stepz=3", "stepz"),
]
TOOLS = [
    (["export", "FOLDER/none.csv", "-o", "x"], "none.csv"),
    (["export", "FOLDER/dta.csv", "-o", "x"], "dta.csv"),
    (["export", "FOLDER/data.csv"], "output"),
    (["export", "FOLDER/data.csv", "-o", "x", "--k", "90"], "k"),
    (["export", "FOLDER/data.csv", "-o", "x", "--k", "two"], "two"),
    (["export", "FOLDER/data.csv", "-o", "x", "--epochs", "0"], "epochs"),
    (["export", "FOLDER/data.csv", "-o", "x", "--p", "1.5"], "p"),
    (["export", "FOLDER/data.csv", "-o", "x", "--format", "xml"], "xml"),
    (["export", "FOLDER/data.csv", "-o", "x", "--strategy", "nearest"], "nearest"),
    (["export", "FOLDER/data.csv", "-o", "x", "--similarity", "cosine"], "cosine"),
    (["export", "FOLDER/data.csv", "-o", "x", "--output-column", "label"], "label"),
    (["neighbours", "FOLDER/data.csv", "  "], "TEXT"),
    (["neighbours", "FOLDER/data.csv", "x", "--input-column", "a"], "--input-column"),
    (["neighbours", "FOLDER/data.csv", "x", "--k", "0"], "k"),
    (["probe", "FOLDER/data.csv", "--model", "m", "--group-column", "a"], "--group-column"),
    (["probe", "FOLDER/data.csv", "--model", "m", "--endpoint", "here", "--k", "2"], "here"),
    (["probe", "FOLDER/data.csv", "--model", "m", "--against", "m", "--k", "2"], "--against"),
    (["probe", "FOLDER/data.csv", "--model", "m", "--against-adapter", "FOLDER", "--k", "2"], "'m'"),
    (["probe", "FOLDER/data.csv", "--k", "2"], "model"),
    (["frob"], "frob"),
]
ENDPOINT = [
    ({"url": "localhost"}, "localhost"),
    ({"api": "talk"}, "talk"),
    ({"concurrent": 0}, "concurrent"),
    ({"timeout": 0}, "timeout"),
]

# Rows and the minimal model


def rows(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> object:
    from made_up import fabricate

    from ccutils.report import check_rows

    return check_rows(change(pd.DataFrame(fabricate(seeds=(0,), steps=(10,)))))


def world(folder: Path, values: dict[str, Any]) -> object:
    from ccutils.theory import World

    return World(**values)


ROWS = [
    (lambda frame: frame.drop(columns="value"), "value"),
    (lambda frame: frame.assign(probe="taste"), "taste"),
    (lambda frame: frame.assign(strategy="nearest"), "nearest"),
]
WORLD = [
    *(({"k": value}, "k") for value in (0, 2.5, True)),
    ({"p": -0.1}, "p"),
    ({"epsilon": 1.5}, "epsilon"),
    ({"p": 0.8, "epsilon": 0.3}, "epsilon"),
    ({"noise": -1.0}, "noise"),
    ({"error": NAN}, "error"),
    ({"similarity": "cosine"}, "cosine"),
]

GROUPS = {
    "plan": Group(plan, PLAN),
    "settings": Group(settings, SETTINGS),
    "lora": Group(lora, LORA),
    "json_plan": Group(json_plan, JSON_PLAN),
    "recipe": Group(recipe, RECIPE),
    "strategy": Group(strategy, STRATEGY),
    "index": Group(index, INDEX),
    "paraphraser": Group(paraphraser, PARAPHRASER),
    "contexts": Group(contexts, CONTEXTS),
    "questions": Group(questions, QUESTIONS),
    "synthetic": Group(synthetic, SYNTHETIC),
    "table": Group(table, TABLE),
    "jsonl": Group(jsonl, JSONL),
    "mtop": Group(mtop, MTOP),
    "text_to_sql": Group(text_to_sql, TEXT_TO_SQL),
    "translation": Group(translation, TRANSLATION),
    "setting": Group(setting, SETTING),
    "profile": Group(profile, PROFILE),
    "made_profile": Group(made_profile, MADE_PROFILE),
    "by_hand": Group(by_hand, [("smollm3", "smollm3")]),
    "chain_options": Group(chain_options, CHAIN_OPTIONS, 2),
    "chain": Group(chain, CHAIN, 2),
    "tools": Group(tools, TOOLS, 2),
    "endpoint": Group(endpoint, ENDPOINT),
    "rows": Group(rows, ROWS),
    "world": Group(world, WORLD),
}
