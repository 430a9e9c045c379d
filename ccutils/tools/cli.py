"""The command `ccutils`: export training rows, probe a model, look at neighbours."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import ccutils
from ccutils.contexts.neighbours import Index
from ccutils.contexts.your_data import FORMATS, ContrastiveContexts, read_file
from ccutils.errors import InputError
from ccutils.probes.questions import BETWEEN, KINDS
from ccutils.records import STRATEGIES
from ccutils.tasks.files import MissingColumnError, unusable
from ccutils.tools.endpoint import APIS, Endpoint, EndpointError
from ccutils.tools.export import write_export
from ccutils.tools.probe import Asking, check_up, questions_of, told_beforehand

BAD_INPUT, GAVE_UP = 2, 3
CODES = """Exit codes: 0 done; 2 bad input, told in one sentence; 3 a server could not be reached or gave up
(answers so far are kept: the same command goes on); 130 interrupted."""


def columns(work: Callable[..., None]) -> Any:
    """Give a command the options that say which columns hold what; it names them where there is no such
    column.
    """

    @functools.wraps(work)
    def command(**values: Any) -> None:
        try:
            work(**values)
        except MissingColumnError as error:
            taken = [name for name in values if name.endswith("_column") and values[name] == error.column]
            options = " and ".join(f"--{name.replace('_', '-')}" for name in taken)
            raise InputError(f"{str(error).removesuffix('.')}; name another by {options}.") from None

    for name, what in (("output", "the answer"), ("input", "the question")):
        option = f"--{name}-column"
        command = click.option(option, default=name, show_default=True, help=f"Column of {what}.")(command)
    return command


@click.group(epilog=CODES)
@click.version_option(ccutils.__version__, prog_name="ccutils")
def commands() -> None:
    """Return contrastive contexts for any trainer, and a check-up of any model.

    DATA is a .jsonl, .json, .csv, .tsv or .parquet file with columns of text.
    """


@commands.command(epilog=CODES)
@click.argument("data", type=click.Path(path_type=Path))
@columns
@click.option("--k", default=8, show_default=True, help="Demonstrations in a context.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="contrastive",
    show_default=True,
    help="How contexts are drawn.",
)
@click.option("--p", default=0.5, show_default=True, help="Probability of the nearest example.")
@click.option("--epsilon", default=0.1, show_default=True, help="Probability of a paraphrase of the target.")
@click.option(
    "--counterfactual",
    default=0.0,
    show_default=True,
    help="Share of the contexts with a relevant example where its label and the answer are replaced.",
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
@click.option("--seed", default=0, show_default=True, help="Of the contexts that are drawn.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="JSON lines to write.")
def export(
    data: Path, input_column: str, output_column: str, output: Path, epochs: int, form: str, **values: Any
) -> None:
    """Write training rows with contexts in the prompt, for a trainer that reads files.

    Train on the file for one epoch, without shuffling: it holds the epochs. The loss should be on the answer
    alone. The same values give the same bytes. With --counterfactual some labels are wrong on purpose, so
    that only the context gives the answer; these rows have "counterfactual": true.
    """
    examples = read_file(data, input_column, output_column)
    contexts = ContrastiveContexts(examples, **values)
    written, wrong = write_export(contexts, epochs, form, output)
    click.echo(f"{written} rows of {len(examples)} examples: {output}")
    if contexts.counterfactual:
        click.echo(
            f"counterfactual: {wrong} rows ({wrong / written:.0%}) have wrong labels on purpose; "
            '"counterfactual": true marks them'
        )


@commands.command(epilog=CODES)
@click.argument("data")
@columns
@click.option("--group-column", help="What the OOD sets hold out; without it outputs, where they repeat.")
@click.option("--model", required=True, help="A folder or Hub id, or what the server calls its model.")
@click.option("--adapter", type=click.Path(path_type=Path, exists=True), help="A peft adapter's folder.")
@click.option("--against", help="A second model, asked the same questions in the same way.")
@click.option(
    "--against-adapter", type=click.Path(path_type=Path, exists=True), help="A peft adapter of that model."
)
@click.option("--endpoint", help="A server of the OpenAI kind, such as http://localhost:8000/v1.")
@click.option(
    "--api", type=click.Choice(APIS), default=APIS[0], show_default=True, help="What the server is asked by."
)
@click.option("--concurrent", default=8, show_default=True, help="Requests open at once.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds that a request may take.")
@click.option("--retries", default=6, show_default=True, help="How often a request is tried again.")
@click.option("--quantise", is_flag=True, help="Load the model in NF4.")
@click.option("--k", default=8, show_default=True, help="Demonstrations in a context.")
@click.option("--targets", default=100, show_default=True, help="Targets of each set.")
@click.option("--kinds", multiple=True, type=click.Choice((*KINDS, BETWEEN)), help="Questions; repeatable.")
@click.option(
    "--metric",
    type=click.Choice(["exact", "chrf", "bleu"]),
    default="exact",
    show_default=True,
    help="How answers are judged.",
)
@click.option("--max-new-tokens", default=64, show_default=True, help="Length of an answer, at most.")
@click.option("--similarity", default="bm25", show_default=True, help="bm25, tfidf, minilm or st:<model>.")
@click.option("--seed", default=0, show_default=True, help="Of the targets and contexts that are drawn.")
@click.option("--dry-run", is_flag=True, help="Only say how many requests and tokens it would be.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("probed"),
    show_default=True,
    help="Folder for answers, scores and figure.",
)
def probe(data: str, output: Path, dry_run: bool, **values: Any) -> None:
    """Ask a model the probes' questions: does it learn in context, does it copy, what does it know without?

    DATA may also be an embedded task: topics, gloss or requests. With --endpoint the model is a server's;
    --api completions sends plain text, chat sends demonstrations as turns; all questions can be asked by
    either. A key is read from the environment variable CCUTILS_API_KEY or OPENAI_API_KEY and kept nowhere.
    """
    names = ("input_column", "output_column", "group_column", "metric", "max_new_tokens")
    options = {name: values[name] for name in names}
    seed, similarity = values["seed"], values["similarity"]
    questions = questions_of(
        data,
        k=values["k"],
        seed=seed,
        n_targets=values["targets"],
        similarity=similarity,
        kinds=values["kinds"],
        **options,
    )
    asked = askings(**values)
    for asking in asked:
        click.echo(told_beforehand(questions, asking))
    if dry_run:
        return
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    for line in check_up(questions, asked, output, {"data": data, **shown}):
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
    """Return the models to ask, the second that of `against`. Raises InputError for what cannot be."""
    if endpoint and (adapter or against_adapter):
        raise InputError("--adapter is for a model loaded here: let the server load it, or leave it out.")
    if against_adapter and not against:
        raise InputError("--against-adapter needs --against: name the model that it belongs to.")
    found = []
    for name, folder in ((model, adapter), (against, against_adapter)):
        if name:
            limits = {key: values[key] for key in ("concurrent", "timeout", "retries")}
            server = Endpoint(endpoint, name, api, **limits) if endpoint else None
            found.append(Asking(name, server, folder, quantise, api == "chat"))
    if len({asking.name for asking in found}) < len(found):
        raise InputError("--against names the same model: name another, or give one of them an adapter.")
    return found


@commands.command(epilog=CODES)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("text")
@columns
@click.option("--k", default=5, show_default=True, help="How many examples.")
@click.option("--similarity", default="bm25", show_default=True, help="bm25, tfidf, minilm or st:<model>.")
def neighbours(data: Path, text: str, input_column: str, output_column: str, k: int, similarity: str) -> None:
    """Print the examples of DATA that are most similar to TEXT: similarity, input, output."""
    if not text.strip() or unusable(text):
        raise InputError("TEXT is empty or not UTF-8: write the text whose neighbours are to be found.")
    examples = read_file(data, input_column, output_column)
    found = Index([e.input for e in examples], similarity).search([text], min(k, len(examples)))
    click.echo(f"similarity\t{input_column}\t{output_column}")
    for row, score in zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True):
        click.echo(f"{score:.3f}\t{examples[row].input}\t{examples[row].output}")


def main() -> None:
    """Run the command line; see CODES for what it exits with."""
    try:
        commands.main(prog_name="ccutils", standalone_mode=False)
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
    except EndpointError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(GAVE_UP)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; answers so far are kept", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
