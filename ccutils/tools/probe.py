"""A check-up of any model: the probes' questions, asked here or of a server, measured and written down."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ccutils.contexts.prompts import Prompter
from ccutils.errors import InputError
from ccutils.probes.questions import QuestionSet, make_questions
from ccutils.probes.scores import measure
from ccutils.records import Row, Run, hash_prompt, write_rows
from ccutils.tasks import load_task
from ccutils.tools.compare import difference_in_words, paired_differences
from ccutils.tools.endpoint import Asked, Endpoint

PRINTED_SCORES = {"iwl": 0, "icl": 1, "copy": 0, "quality": 1}
"""Scores that are printed and drawn, and their grade."""
TASKS_BY_NAME = ("topics", "gloss", "requests")


@dataclass(frozen=True, slots=True)
class Asking:
    """A model and how it is reached: at an endpoint, or loaded here, perhaps with an adapter."""

    model: str
    endpoint: Endpoint | None = None
    adapter: Path | None = None
    quantise: bool = False
    chat: bool = False

    @property
    def name(self) -> str:
        """What tells it from another in tables."""
        return f"{self.model}+{self.adapter.name}" if self.adapter else self.model


def questions_of(
    data: str,
    *,
    k: int,
    seed: int,
    n_targets: int,
    similarity: str,
    kinds: Sequence[str] = (),
    **options: Any,
) -> QuestionSet:
    """Make the questions out of a data file, or of an embedded task by name. Raises InputError as they do."""
    if data in TASKS_BY_NAME:
        task = load_task(data, seed=seed)
    else:
        task = load_task("jsonl", seed=seed, path=data, **options)
    return make_questions(task, k, seed=seed, n_targets=n_targets, similarity=similarity, kinds=kinds)


def texts_of(questions: QuestionSet, chat: bool) -> list[Asked]:
    """Write each question as a server is asked it: a text, or messages."""
    prompter = Prompter(None, questions.task.template, window=0)  # texts need none
    if chat:
        return [prompter.messages(q.context, q.target) for q in questions.questions]
    return [prompter.text(q.context, q.target) for q in questions.questions]


def told_beforehand(questions: QuestionSet, asking: Asking) -> str:
    """Say how many requests and tokens the questions are, before any is asked."""
    texts = {hash_prompt(text): text for text in texts_of(questions, asking.chat)}.values()  # asked once each
    letters = sum(len(t) if isinstance(t, str) else sum(len(m["content"]) for m in t) for t in texts)
    most = len(texts) * questions.task.max_new_tokens
    return (
        f"{asking.name}: {len(texts)} requests, about {letters / 4 / 1000:.0f} thousand tokens of prompts (a "
        f"token for 4 characters) and at most {most / 1000:.0f} thousand of answers"
    )


def ask_questions(questions: QuestionSet, asking: Asking, folder: Path) -> list[str]:
    """Return the model's answers, from the folder where they are kept. Raises what Endpoint and models do."""
    most, endpoint = questions.task.max_new_tokens, asking.endpoint
    if endpoint is not None:
        texts = texts_of(questions, asking.chat)
        facts = [endpoint.url, endpoint.model, endpoint.api, most]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        found = endpoint.answers(
            texts, max_new_tokens=most, path=folder / f"answers-{file_name(asking.name)}-{key}.jsonl"
        )
        if found.cut:
            print(f"{found.cut} of {found.asked} answers were cut off at {most} tokens: --max-new-tokens")
        return found.texts
    try:
        from ccutils.evaluation.responder import Responder
    except ImportError as error:
        raise InputError(
            f"a model is loaded here by torch and others ({error}): pip install "
            "'contrastive-context[train]', or name an --endpoint."
        ) from error
    responder = Responder(asking.model, folder, asking.quantise, chat=asking.chat)
    prompts = responder.prompts(questions)
    return responder.answers(
        prompts, max_new_tokens=most, adapter=asking.adapter, folder=folder, name=file_name(asking.name)
    )


def check_up(
    questions: QuestionSet,
    asked: Sequence[Asking],
    folder: Path,
    parameters: Mapping[str, Any],
) -> list[str]:
    """Ask one model, or two; write scores and figure to the folder, and return what to print.

    Written are probes.parquet (tidy rows), differences.parquet of two models, and scores.svg.
    """
    answers = [ask_questions(questions, asking, folder) for asking in asked]
    rows: list[Row] = []
    for asking, given in zip(asked, answers, strict=True):
        run = Run(folder, questions.task.name, asking.name, "base", questions.seed)
        rows += measure(questions, given, run, 0)
    write_rows(folder / "probes.parquet", rows, {**parameters, "facts": dict(questions.task.facts)})
    table = pd.DataFrame([{name: getattr(row, name) for name in Row.__dataclass_fields__} for row in rows])
    table = table[[PRINTED_SCORES.get(r.probe) == r.grade and r.n > 0 for r in rows]]
    said = [scores_text(table)]
    if len(asked) == 2:
        differences = paired_differences(questions, *answers)
        differences.to_parquet(folder / "differences.parquet", index=False)
        said += difference_in_words(differences, asked[0].name, asked[1].name)
    return [*said, draw_scores(table, folder / "scores.svg")]


def scores_text(table: pd.DataFrame) -> str:
    """Write the scores as a table of text, each with its 95% interval."""
    shown = table.assign(
        score=[f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for r in table.itertuples()],
        of=table["probe"].map(
            {"iwl": "IWL-score", "icl": "ICL-score", "copy": "Copy-score", "quality": "quality, 1 relevant"}
        ),
    )
    wide = shown.pivot(index=["model", "set"], columns="of", values="score").fillna("-").reset_index()
    return str(wide.to_string(index=False))


def draw_scores(table: pd.DataFrame, path: Path) -> str:
    """Draw the scores with their intervals, and say where; without Altair, say what is missing."""
    try:
        import altair as alt

        from ccutils import style  # noqa: F401 - its import gives the chart the looks of all figures
    except ImportError:
        return "no figure: it needs Altair (pip install altair vl-convert-python)"
    base = alt.Chart(table).encode(y=alt.Y("model:N", title=None))
    scale = alt.Scale(domain=[0, 1])
    dots = base.mark_point(filled=True, size=60).encode(
        x=alt.X("value:Q", scale=scale, title="score, 95% interval"), color=alt.Color("model:N", legend=None)
    )
    bars = base.mark_rule().encode(x="low:Q", x2="high:Q", color=alt.Color("model:N", legend=None))
    alt.layer(bars, dots).properties(width=180).facet(
        column=alt.Column("probe:N", title=None), row="set:N"
    ).save(path)
    return f"figure: {path}; rows: {path.with_name('probes.parquet')}"


def file_name(name: str) -> str:
    """Return a name that a file can have.

    >>> file_name("org/name:7b")
    'org-name-7b'
    """
    return re.sub(r"[^\w.+-]+", "-", name.strip("/.")) or "model"
