"""Probe any model, loaded here or behind a server: ask the probes' questions and score the answers."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ccutils.contexts.prompts import Prompter
from ccutils.errors import InputError, nearest
from ccutils.probes.baselines import answer_all
from ccutils.probes.questions import QuestionSet, make_questions
from ccutils.probes.scores import measure
from ccutils.records import Row, Run, atomic, hash_prompt, write_rows
from ccutils.tasks import Example, load_task
from ccutils.tools.compare import difference_in_words, paired_differences
from ccutils.tools.endpoint import Asked, Endpoint, EndpointError
from ccutils.tools.replies import answer_warnings, read_replies

PRINTED_SCORES = {"iwl": 0, "icl": 1, "copy": 0, "quality": 1}
"""Scores that are printed and drawn, with the number of relevant examples of each."""
BASELINES_NOTE = (
    "Baselines without a language model: majority (the pool's most frequent label), nearest (label of the "
    "most similar demonstration), classifier (TF-IDF and logistic regression on the pool), gated (the "
    "classifier, unless the similarity of the most similar demonstration exceeds a threshold)."
)
TASKS_BY_NAME = ("topics", "gloss", "requests")
WRITTEN: tuple[str, ...] = ("probes.parquet", "probes.json", "baselines.parquet", "baselines.json")
WRITTEN += ("differences.parquet", "scores.svg")
"""Files that a probe writes to its folder, in addition to answers."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A model to ask: at an endpoint, or loaded here, optionally with an adapter.

    The model's name ends with the last `depth` parts of the adapter's path, since two checkpoints may have
    the same folder name.
    """

    model: str
    endpoint: Endpoint | None = None
    adapter: Path | None = None
    quantise: bool = False
    chat: bool = False
    depth: int = 1

    @property
    def name(self) -> str:
        """The model's name in tables."""
        if self.adapter is None:
            return self.model
        return f"{self.model}+{'/'.join(self.adapter.absolute().parts[-self.depth :])}"


def distinct(asked: Sequence[Asking]) -> list[Asking]:
    """Give the models distinct names. Raises InputError if both are the same model."""
    found = list(asked)
    if len(set(map(_identity, found))) < len(found):
        raise InputError("--against is the same model as --model: choose another, or add an adapter to one.")
    while len({asking.name for asking in found}) < len(found):
        found = [replace(asking, depth=asking.depth + 1) for asking in found]
    return found


def _identity(asking: Asking) -> tuple[str, str]:
    """Identify a model with its adapter, however their paths are written."""
    model = asking.model if asking.endpoint else os.path.realpath(asking.model)
    return model, os.path.realpath(asking.adapter) if asking.adapter else ""


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
    """Make the questions of a data file or an embedded task. Raises InputError for invalid input."""
    if data in TASKS_BY_NAME:
        task = load_task(data, seed=seed)
    elif not ("/" in data or Path(data).suffix or Path(data).exists()):
        raise InputError(f"{data!r} is neither a file nor an embedded task{nearest(data, TASKS_BY_NAME)}")
    else:
        try:
            task = load_task("jsonl", seed=seed, path=data, **options)
        except ImportError as error:
            raise InputError(
                f"{data!r} is not a file: check the path, or pip install {error.name} for the Hub."
            ) from error
    return make_questions(task, k, seed=seed, n_targets=n_targets, similarity=similarity, kinds=kinds)


def texts_of(questions: QuestionSet, chat: bool) -> list[Asked]:
    """Write each question as it is sent to a server: a text, or messages."""
    prompter = Prompter(None, questions.task.template, window=0)  # texts need no tokenizer
    if chat:
        return [prompter.messages(q.context, q.target) for q in questions.questions]
    return [prompter.text(q.context, q.target) for q in questions.questions]


def describe_requests(questions: QuestionSet, asking: Asking) -> str:
    """Describe the number of requests and tokens before any question is asked."""
    texts = {
        hash_prompt(text): text for text in texts_of(questions, asking.chat)
    }.values()  # each is asked once
    characters = sum(len(t) if isinstance(t, str) else sum(len(m["content"]) for m in t) for t in texts)
    most = len(texts) * questions.task.max_new_tokens
    return (
        f"{asking.name}: {len(texts)} requests, about {characters / 4:,.0f} prompt tokens (at 4 characters a "
        f"token), at most {most:,} answer tokens"
    )


def ask_questions(
    questions: QuestionSet, asking: Asking, folder: Path, *, ask_again: bool = False
) -> list[str]:
    """Collect the model's answers; they are saved in the folder and reused from it.

    Prints warnings about the answers. Raises the errors of Endpoint and of loading a model.
    """
    ask = _ask_here if asking.endpoint is None else _ask_server
    answers, notes = ask(questions, asking, folder, ask_again)
    for note in [*notes, *answer_warnings(questions, answers)]:
        print(f"{asking.name}: {note}")
    return answers


def _ask_server(
    questions: QuestionSet, asking: Asking, folder: Path, ask_again: bool
) -> tuple[list[str], list[str]]:
    most, endpoint = questions.task.max_new_tokens, asking.endpoint
    assert endpoint is not None
    texts = texts_of(questions, asking.chat)
    stem = f"answers-{file_name(asking.name)}"
    stem += f"-{hash_of([endpoint.url.rstrip('/'), endpoint.model, endpoint.api, most])}"
    notes = []
    try:
        served = endpoint.served()
        path = folder / f"{stem}{f'-{hash_of(served)}' if served else ''}.jsonl"
    except EndpointError as error:
        keys = set(map(hash_prompt, texts))
        complete = [path for path in folder.glob(f"{stem}*.jsonl") if keys <= read_replies(path).keys()]
        if ask_again or not complete:
            raise
        path = max(complete, key=lambda path: path.stat().st_mtime)
        notes.append(f"{error} Using its saved answers.")
    if ask_again and path.exists():
        path.replace(path.with_suffix(f".{datetime.now():%Y%m%d-%H%M%S-%f}.old"))
    elif not path.exists() and any(folder.glob(f"{stem}*.jsonl")):
        print(f"{asking.name}: the server now has another model by this name; asking all questions")
    found = endpoint.answers(texts, max_new_tokens=most, path=path)
    if found.reused_from:
        notes.append(
            f"{found.reused} saved answers are reused, the last from {found.reused_from:%Y-%m-%d %H:%M} "
            "(use --ask-again to ask all questions again)"
        )
    counts = {
        f"answers were cut off at {most} tokens: raise --max-new-tokens": found.cut,
        "questions were not answered (refused, filtered or empty) and are not scored": found.unanswered,
        "prompts were shortened by the server: raise its context (num_ctx in Ollama), or lower --k": (
            found.shortened
        ),
    }
    notes += [f"{n} of {len(texts)} {what}" for what, n in counts.items() if n]
    return found.texts, notes + found.notes


def _ask_here(
    questions: QuestionSet, asking: Asking, folder: Path, ask_again: bool
) -> tuple[list[str], list[str]]:
    if ask_again:
        raise InputError("--ask-again needs --endpoint: a model loaded here would give the same answers.")
    try:
        from ccutils.evaluation.responder import Responder
        from ccutils.models.base import check_adapter, model_path
        from ccutils.models.tiny import make_recipe
    except ImportError as error:
        raise InputError(
            f"loading a model here needs torch and other packages ({error}): pip install "
            "'contrastive-context[train]', or use --endpoint."
        ) from error
    if asking.adapter is not None:
        check_adapter(asking.adapter)
    path = model_path(asking.model, questions.task, folder / "cache", make_recipe({}, questions.seed))
    responder = Responder(path, folder, asking.quantise, chat=asking.chat)
    answers = responder.answers(
        responder.prompts(questions),
        max_new_tokens=questions.task.max_new_tokens,
        adapter=asking.adapter,
        folder=folder,
        name=file_name(replace(asking, depth=1).name),
    )
    empty = sum(not answer for answer in answers)
    return answers, [f"{empty} of {len(answers)} answers are empty and count as wrong"] * bool(empty)


def check_up(
    questions: QuestionSet,
    asked: Sequence[Asking],
    folder: Path,
    parameters: Mapping[str, Any],
    *,
    answers_folder: Path | None = None,
    ask_again: bool = False,
    validation: Callable[[int], QuestionSet],
) -> list[str]:
    """Ask one or two models, write scores and figure to the folder, and return the lines to print.

    Writes probes.parquet (tidy rows), differences.parquet (two models only), baselines.parquet (rows of the
    baselines) and scores.svg. Questions that a server did not answer are excluded from the scores. Answers
    are saved in `answers_folder`, by default the same folder. `validation` is passed to `answer_all`.
    """
    answers_folder = answers_folder or folder
    given = [ask_questions(questions, asking, answers_folder, ask_again=ask_again) for asking in asked]
    without_model, missing = answer_all(questions, validation)
    of_baselines = rows_of(questions, without_model, folder)
    if any(asking.endpoint for asking in asked):
        questions = without_unanswered(questions)
    rows = rows_of(questions, {asking.name: own for asking, own in zip(asked, given, strict=True)}, folder)
    about = {**parameters, "facts": dict(questions.task.facts)}
    write_rows(folder / "probes.parquet", rows, about)
    write_rows(folder / "baselines.parquet", of_baselines, about)
    shown, beside = (
        [asdict(row) for row in some if PRINTED_SCORES.get(row.probe) == row.grade and row.n > 0]
        for some in (rows, of_baselines)
    )
    if not shown:
        return [f"no answer can be scored; rows: {folder / 'probes.parquet'}"]
    table = pd.DataFrame([*shown, *beside])
    lines = [scores_text(table), BASELINES_NOTE, *[missing] * bool(missing)]
    if len(asked) == 2:
        differences = paired_differences(questions, given[0], given[1])
        with atomic(folder / "differences.parquet") as part:
            differences.to_parquet(part, index=False)
        lines += difference_in_words(differences, asked[0].name, asked[1].name)
    return [*lines, draw_scores(table, folder / "scores.svg")]


def rows_of(questions: QuestionSet, answers: Mapping[str, Sequence[str]], folder: Path) -> list[Row]:
    """Score the answers of each model or baseline, and return their rows."""
    runs = {name: Run(folder, questions.task.name, name, "base", questions.seed) for name in answers}
    return [row for name, given in answers.items() for row in measure(questions, given, runs[name], 0)]


def without_unanswered(questions: QuestionSet) -> QuestionSet:
    """Change the task's score to NaN for empty answers, which excludes them from every score."""
    task = questions.task

    def score(answers: Sequence[str], examples: Sequence[Example]) -> NDArray[np.float64]:
        scores = np.array(task.score(answers, examples), dtype=np.float64)
        scores[[not answer for answer in answers]] = np.nan
        return scores

    return replace(questions, task=replace(task, score=score))


def scores_text(table: pd.DataFrame) -> str:
    """Format the scores with their 95% intervals as a text table."""
    shown = table.assign(
        score=[f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for r in table.itertuples()],
        of=table["probe"].map(
            {"iwl": "IWL-score", "icl": "ICL-score", "copy": "Copy-score", "quality": "quality, 1 relevant"}
        ),
    )
    order = pd.CategoricalDtype(list(table["model"].unique()))
    wide = shown.astype({"model": order}).pivot(index=["model", "set"], columns="of", values="score")
    wide = wide.fillna("-").reset_index()
    return str(wide.to_string(index=False))


def draw_scores(table: pd.DataFrame, path: Path) -> str:
    """Draw the scores with their intervals, and return a line with the files; a note if Altair is missing."""
    try:
        import altair as alt

        from ccutils import style  # noqa: F401 - its import sets the theme of all figures
    except ImportError:
        return "no figure: pip install altair vl-convert-python"
    base = alt.Chart(table).encode(y=alt.Y("model:N", title=None, sort=list(table["model"].unique())))
    scale = alt.Scale(domain=[0, 1])
    dots = base.mark_point(filled=True, size=60).encode(
        x=alt.X("value:Q", scale=scale, title="score, 95% interval"), color=alt.Color("model:N", legend=None)
    )
    bars = base.mark_rule().encode(x="low:Q", x2="high:Q", color=alt.Color("model:N", legend=None))
    chart = alt.layer(bars, dots).properties(width=180)
    with atomic(path) as part:
        chart.facet(column=alt.Column("probe:N", title=None), row="set:N").save(part, format="svg")
    return f"figure: {path}; rows: {path.with_name('probes.parquet')}"


def hash_of(values: Any) -> str:
    """Hash a JSON value, for a file name."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def file_name(name: str) -> str:
    """Convert a name to a valid file name of at most 80 bytes.

    >>> file_name("org/name:7b")
    'org-name-7b'
    """
    found = re.sub(r"[^\w.+-]+", "-", name.strip("/."))
    return found.encode()[-80:].decode(errors="ignore") or "model"
