"""The command `ccutils`: export training rows, probe a model, print neighbours."""

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import ccutils
from ccutils.contexts.neighbours import Index
from ccutils.contexts.your_data import FORMATS, ContrastiveContexts, read_file
from ccutils.errors import InputError, reason
from ccutils.origin import hash_file
from ccutils.packaged import LANGUAGE_MODELS
from ccutils.probes.questions import BETWEEN, KINDS, PLAIN
from ccutils.records import STRATEGIES
from ccutils.tasks.files import MissingColumnError, unusable
from ccutils.tools.endpoint import APIS, Endpoint, EndpointError
from ccutils.tools.export import check_not_input, write_export
from ccutils.tools.probe import (
    WRITTEN,
    Asking,
    check_up,
    describe_requests,
    distinct,
    file_name,
    hash_of,
    questions_of,
)

BAD_INPUT, GAVE_UP = 2, 3
CODES = """Exit codes: 0 success; 2 bad input; 3 a server could not be reached or gave up (answers so far are
saved: the same command continues); 130 interrupted."""
ANSWERS = Path("probed")
"""Folder of the answers unless `-o` is given; scores are then saved in a subfolder."""
ONLY_ASKING = ("concurrent", "timeout", "retries", "ask_again")  # options that do not change scores
SEED = click.IntRange(0, 2**63 - 1)  # the range of NumPy and torch


class HomePath(click.Path):
    """A path with `~` for the home folder, also in `--output=~/file`, which no shell expands."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Expand `~`, then check the path as click does."""
        return super().convert(os.path.expanduser(value), param, ctx)


def columns(work: Callable[..., None]) -> Any:
    """Add the options for the columns to a command, and name the option in the error for a missing column."""

    @functools.wraps(work)
    def command(**values: Any) -> None:
        try:
            work(**values)
        except MissingColumnError as error:
            taken = [name for name in values if name.endswith("_column") and values[name] == error.column]
            options = " and ".join(f"--{name.replace('_', '-')}" for name in taken)
            raise InputError(f"{str(error).removesuffix('.')}. Use {options}.") from None

    for name, what in (("output", "the answer"), ("input", "the question")):
        option = f"--{name}-column"
        command = click.option(option, default=name, show_default=True, help=f"Column of {what}.")(command)
    return command


@click.group(epilog=CODES)
@click.version_option(ccutils.__version__, prog_name="ccutils")
def commands() -> None:
    """Build contrastive-context training data for any trainer, and probe any model for in-context and
    in-weights learning.

    DATA is a .jsonl, .json, .csv, .tsv or .parquet file with a column of inputs and one of outputs.
    """


@commands.command(epilog=CODES)
@click.argument("data", type=HomePath(path_type=Path))
@columns
@click.option("--k", default=8, show_default=True, help="Demonstrations in a context.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="contrastive",
    show_default=True,
    help="How contexts are sampled.",
)
@click.option("--p", default=0.5, show_default=True, help="Probability of the nearest example.")
@click.option("--epsilon", default=0.1, show_default=True, help="Probability of a paraphrase of the target.")
@click.option(
    "--counterfactual",
    default=0.0,
    show_default=True,
    help="Share of the contexts with a relevant example in which its label and the answer are replaced.",
)
@click.option("--similarity", default="bm25", show_default=True, help="bm25, tfidf, minilm or st:<model>.")
@click.option("--epochs", default=3, show_default=True, help="Passes over the data, each with new contexts.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="How a row is written.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed for sampling the contexts.",
)
@click.option(
    "-o", "--output", type=HomePath(path_type=Path), required=True, help="JSON lines file to write."
)
def export(
    data: Path, input_column: str, output_column: str, output: Path, epochs: int, form: str, **values: Any
) -> None:
    """Write training rows with contexts in the prompt, for a trainer that reads files.

    The file contains all epochs: train on it for one epoch, without shuffling, with the loss on the answer
    only. The same options give the same bytes. With --counterfactual, some labels are wrong on purpose, so
    that only the context gives the answer; these rows have "counterfactual": true.
    """
    check_not_input(data, output)
    examples = read_file(data, input_column, output_column)
    contexts = ContrastiveContexts(examples, **values)
    written, wrong = write_export(contexts, epochs, form, output)
    to_pipe = not output.is_file()  # perhaps standard output itself
    click.echo(f"Wrote {written} rows of {len(examples)} examples to {output}", err=to_pipe)
    if contexts.counterfactual:
        click.echo(
            f"counterfactual: {wrong} rows ({wrong / written:.0%}) have wrong labels on purpose, marked "
            '"counterfactual": true',
            err=to_pipe,
        )


@commands.command(epilog=CODES)
@click.argument("data")
@columns
@click.option(
    "--group-column",
    help="Column whose values are held out for the OOD sets; default: the output, if outputs repeat.",
)
@click.option(
    "--model",
    required=True,
    help=f"A folder, a Hub id, {', '.join(('tiny', *LANGUAGE_MODELS))}; with --endpoint, the name of a "
    "model on the server.",
)
@click.option("--adapter", type=HomePath(path_type=Path, exists=True), help="Folder of a peft adapter.")
@click.option("--against", help="A second model to compare with, on the same questions.")
@click.option(
    "--against-adapter",
    type=HomePath(path_type=Path, exists=True),
    help="Adapter of the second model, which is --model unless --against is given.",
)
@click.option("--endpoint", help="An OpenAI-compatible server, such as http://localhost:8000/v1.")
@click.option("--api", type=click.Choice(APIS), default=APIS[0], show_default=True, help="API of the server.")
@click.option(
    "--concurrent",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Maximum number of open requests.",
)
@click.option("--timeout", default=120.0, show_default=True, help="Timeout of a request (seconds).")
@click.option("--retries", default=6, show_default=True, help="Retries of a failed request.")
@click.option(
    "--ask-again", is_flag=True, help="Ask a server all questions again, even if answers are saved."
)
@click.option("--quantise", is_flag=True, help="Load the model in NF4.")
@click.option("--k", default=8, show_default=True, help="Demonstrations in a context.")
@click.option("--targets", default=100, show_default=True, help="Targets per test set.")
@click.option(
    "--kinds",
    multiple=True,
    type=click.Choice((*KINDS, BETWEEN)),
    help="Kind of question; repeatable. Default: all but nearest_first, nearest_last, noisy_10, noisy_25.",
)
@click.option(
    "--metric",
    type=click.Choice(["exact", "chrf", "bleu"]),
    default="exact",
    show_default=True,
    help="How answers are scored.",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Maximum number of tokens of an answer.",
)
@click.option("--similarity", default="bm25", show_default=True, help="bm25, tfidf, minilm or st:<model>.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed for sampling targets and contexts.",
)
@click.option("--dry-run", is_flag=True, help="Only print the number of requests and tokens.")
@click.option(
    "-o",
    "--output",
    type=HomePath(path_type=Path),
    help="Folder for answers, scores and figure.  [default: answers in probed/, scores and figure in a "
    "subfolder for each model and set of options]",
)
def probe(data: str, output: Path | None, dry_run: bool, **values: Any) -> None:
    """Measure a model's in-context learning, its in-weights knowledge, and how often it copies.

    Baselines without a language model are scored on the same questions and printed below it.

    DATA may also be an embedded task: topics, gloss or requests. With --endpoint, questions are sent to a
    server: --api completions sends plain text, chat sends demonstrations as turns. The key is read from the
    environment variable CCUTILS_API_KEY or OPENAI_API_KEY and is never saved.
    """
    names = ("input_column", "output_column", "group_column", "metric", "max_new_tokens")
    options = {name: values[name] for name in names}
    seed = values["seed"]
    asked = askings(**values)
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    folder = output or ANSWERS / folder_name(data, asked, shown)
    check_folder(folder)
    check_not_input(Path(data).expanduser(), *(folder / name for name in WRITTEN))
    options |= {"k": values["k"], "n_targets": values["targets"], "similarity": values["similarity"]}
    make = functools.partial(questions_of, data, **options)
    questions = make(seed=seed, kinds=values["kinds"])
    for asking in asked:
        click.echo(describe_requests(questions, asking))
    if dry_run:
        return
    lines = check_up(
        questions,
        asked,
        folder,
        {"data": data, **shown},
        answers_folder=output or ANSWERS,
        ask_again=values["ask_again"],
        validation=lambda seed: make(seed=seed, kinds=[PLAIN]),
    )
    for line in lines:
        click.echo(line)


def askings(
    model: str,
    adapter: Path | None,
    against: str | None,
    against_adapter: Path | None,
    endpoint: str | None,
    api: str,
    quantise: bool,
    **values: Any,
) -> list[Asking]:
    """Build the models to ask, the second from `against`. Raises InputError for conflicting options."""
    if endpoint and (adapter or against_adapter):
        raise InputError("--adapter cannot be used with --endpoint: load the adapter in the server instead.")
    if against is None and against_adapter:
        against = model
    found = []
    for name, folder in ((model, adapter), (against, against_adapter)):
        if name is None:
            continue
        if not name.strip():
            raise InputError("the name of a model is empty: check --model and --against.")
        if endpoint is not None:
            limits = {key: values[key] for key in ("concurrent", "timeout", "retries")}
            found.append(Asking(name, Endpoint(endpoint, name, api, **limits), chat=api == "chat"))
        else:
            found.append(Asking(os.path.expanduser(name), None, folder, quantise, api == "chat"))
    return distinct(found)


def folder_name(data: str, asked: Sequence[Asking], values: Mapping[str, Any]) -> str:
    """Name the folder of a probe's scores, by data, models and all options that change scores."""
    names = "-against-".join(file_name(asking.name) for asking in asked)
    facts = {name: value for name, value in values.items() if name not in ONLY_ASKING}
    path = Path(data).expanduser()
    content = hash_file(path) if path.is_file() else data
    return f"{file_name(path.stem)}-{names[:120]}-{hash_of([content, facts])[:6]}"


def check_folder(folder: Path) -> None:
    """Raise InputError if a folder is not writable; do not create it."""
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError as error:
        raise InputError(f"{folder} cannot be used ({error.strerror}): choose another -o.") from error
    if not there.is_dir():
        raise InputError(f"{there} is a file, not a folder: choose another -o.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} is not writable: choose another -o.")


@commands.command(epilog=CODES)
@click.argument("data", type=HomePath(path_type=Path))
@click.argument("text")
@columns
@click.option("--k", default=5, show_default=True, help="Number of examples.")
@click.option("--similarity", default="bm25", show_default=True, help="bm25, tfidf, minilm or st:<model>.")
def neighbours(data: Path, text: str, input_column: str, output_column: str, k: int, similarity: str) -> None:
    """Print the examples of DATA that are most similar to TEXT: similarity, input, output."""
    if not text.strip() or unusable(text):
        raise InputError("TEXT is empty or not UTF-8: give the text whose neighbours you want.")
    examples = read_file(data, input_column, output_column)
    found = Index([e.input for e in examples], similarity).search([text], min(k, len(examples)))
    click.echo(f"similarity\t{input_column}\t{output_column}")
    for row, score in zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True):
        click.echo(f"{score:.3f}\t{examples[row].input}\t{examples[row].output}")


def main() -> None:
    """Run the command line, and exit with a status listed in CODES."""
    try:
        commands.main(prog_name="ccutils", standalone_mode=False)
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
    except OSError as error:  # no permission, a full disk, a name too long
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{reason(error) if error.strerror is None else error.strerror}", err=True)
        sys.exit(BAD_INPUT)
    except EndpointError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(GAVE_UP)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Answers so far are saved.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
