"""The pages to read, made of a finished run: `./reproduce.sh docs [RESULTS]` writes results/docs.

Documents of the repository, every notebook with its outputs, a gallery of figures and the rooms' docstrings
are laid out as they link to one another, and Sphinx makes HTML of them that needs no network: pictures from
elsewhere become their words, the diagram a table. Only the standard library is imported at the top, so that
--help and a wrong folder are answered before anything is installed.
"""

import inspect
import json
import re
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from ccutils.chain.cli import Parser, shown
from ccutils.chain.job import print_line, run_notebook
from ccutils.chain.profiles import ROOT
from ccutils.errors import InputError, command

ROOMS = ("tasks", "contexts", "models", "training", "probes", "evaluation", "report", "theory", "tools")
DOCUMENTS = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
CONTENTS = """
```{toctree}
:caption: Read
:hidden:
:glob:

docs/*
gallery
CONTRIBUTING
CHANGELOG
benchmarks/README
```
```{toctree}
:caption: Notebooks
:hidden:
:glob:

notebooks/*
```
```{toctree}
:caption: Rooms
:hidden:
:glob:

api/*
```
"""


def lay_out(results: Path, sources: Path) -> None:
    """Write the sources of all pages to a folder."""
    shutil.copytree(ROOT / "docs", sources / "docs")
    architecture = sources / "docs" / "architecture.md"
    architecture.write_text(diagram_as_table(architecture.read_text(encoding="utf-8")), encoding="utf-8")
    for name in DOCUMENTS:
        (sources / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, sources / name)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (sources / "index.md").write_text(without_far_pictures(readme) + CONTENTS, encoding="utf-8")
    (sources / "LICENSE").write_text((ROOT / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    (sources / "gallery.md").write_text(write_gallery(results), encoding="utf-8")
    (sources / "notebooks").mkdir()
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = without_far_pictures(notebook_text(find_executed(notebook, results)))
        (sources / "notebooks" / notebook.name).write_text(text, encoding="utf-8")
    (sources / "api").mkdir()
    for room in ROOMS:
        text = f"# ccutils.{room}\n\n```{{eval-rst}}\n.. automodule:: ccutils.{room}\n   :members:\n```\n"
        (sources / "api" / f"{room}.md").write_text(text, encoding="utf-8")


def without_far_pictures(text: str) -> str:
    """Return Markdown with the words of pictures that a network would have to bring.

    >>> without_far_pictures("[![Open](https://a.org/b.svg)](https://c.org) ![near](d.png)")
    '[Open](https://c.org) ![near](d.png)'
    """
    return re.sub(r"!\[([^\]]*)\]\(https?://[^)]*\)", r"\1", text)


def diagram_as_table(text: str) -> str:
    """Return Markdown with the diagram of rooms, which GitHub alone draws, as a table of what uses what.

    >>> print(diagram_as_table('```mermaid\\nflowchart TB\\n a["a: one"]\\n b["b: two"]\\n a --> b\\n```'))
    | room | what | imports from |
    | --- | --- | --- |
    | a | one | b |
    | b | two |  |
    """

    def table(block: re.Match[str]) -> str:
        uses: dict[str, list[str]] = {}
        for line in block[1].splitlines():
            chain = [name.strip() for name in line.split("-->")]
            for one, other in pairwise(chain):
                uses.setdefault(one, []).append(other)
        rooms = re.findall(r'(\w+)\["\w+: (.*)"\]', block[1])
        lines = [f"| {room} | {what} | {', '.join(uses.get(room, []))} |" for room, what in rooms]
        return "\n".join(["| room | what | imports from |", "| --- | --- | --- |", *lines])

    return re.sub(r"```mermaid\n(.*?)\n```", table, text, flags=re.DOTALL)


def find_executed(notebook: Path, results: Path) -> Path:
    """Return a notebook as the run executed it: of several copies that of contrastive, if there is one.

    A notebook that is no job of the chain is executed now, with the same results.
    """
    folder = results / "notebooks" / notebook.stem
    copies = sorted(folder.glob("*.ipynb"), key=lambda path: ("-contrastive-" not in path.name, path.name))
    if not copies:
        print_line(f"running {notebook.name}, which no run executes (a minute or two)")
        run_notebook(notebook, f"{notebook.stem}/all", {}, results)
        copies = [folder / "all.ipynb"]
    return copies[0]


def notebook_text(path: Path) -> str:
    """Return a notebook without the cell for Colab."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if "colab" not in cell["metadata"].get("tags", [])]
    return json.dumps({**notebook, "cells": cells})


def write_gallery(results: Path) -> str:
    """Return the gallery as Markdown: each figure, interactive, how to read it, the code that draws it."""
    from ccutils.report.build import DRAWN, READINGS  # here, since it needs what is installed

    parts = ["# Gallery\n\nPoint at a mark for its numbers; click a strategy in a legend to bring it out.\n"]
    for path in sorted((results / "figures").glob("*.html")):
        kind = path.stem.split("-")[0]
        title = path.stem.replace("_", " ").capitalize()
        frame = 'loading="lazy" width="100%" height="560"'
        picture = f'<iframe src="figures/{path.name}" title="{title}" {frame}></iframe>'
        code = inspect.getsource(DRAWN[kind])
        parts.append(
            f"## {title}\n\n{picture}\n\n{READINGS[kind]}\n\n[Alone](figures/{path.name}); as it is drawn "
            f"(`{DRAWN[kind].__module__}`):\n\n```python\n{code}```\n"
        )
    for path in sorted((results / "minimal_model").glob("*.html")):
        title = f"The minimal model: {path.stem.replace('_', ' ')}"
        picture = f"![{title}](minimal_model/{path.stem}.png)"
        parts.append(f"## {title}\n\n{picture}\n\n[Interactive](minimal_model/{path.name}).\n")
    return "\n".join(parts)


def check_finished(results: Path) -> None:
    """Raise InputError for a folder without a finished run."""
    if not (results / "report.html").exists():
        raise InputError(f"{results} holds no finished run (no report.html): run ./reproduce.sh first.")


def build(results: Path, output: Path, *more: str) -> int:
    """Build the pages of a finished run into `output`; returns Sphinx's exit status.

    Raises InputError where the folder holds no finished run.
    """
    check_finished(results)
    from sphinx.cmd.build import main as sphinx

    with TemporaryDirectory() as folder:
        sources = Path(folder)
        lay_out(results, sources)
        for name in ("figures", "minimal_model"):
            if (results / name).is_dir():
                shutil.copytree(results / name, sources / name)
                shutil.copytree(results / name, sources / "extra" / name)
        shutil.copy(results / "report.html", sources / "extra")
        options = ["-q", "-c", str(ROOT / "docs"), "-D", f"html_extra_path={sources / 'extra'}", *more]
        print_line("making the pages (a minute or two)")
        return int(sphinx(["-b", "html", *options, str(sources), str(output)]))


def read_pages_options(arguments: Sequence[str]) -> Path:
    """Return the results folder that a command line names. Raises InputError where no run has finished."""
    parser = Parser(
        prog="./reproduce.sh docs",
        description="Make pages of the documents, the notebooks with their outputs, a gallery of figures "
        "and the docstrings, in results/docs. They need no network.",
    )
    parser.words = ", and one results folder, or none for results/cpu"
    parser.add_argument(
        "results",
        nargs="?",
        default=ROOT / "results" / "cpu",
        type=Path,
        metavar="RESULTS",
        help="results folder of a finished run, such as results/smoke (default: results/cpu)",
    )
    results: Path = parser.parse_args(arguments).results.resolve()
    check_finished(results)
    return results


@command
def refuse_pages_options(arguments: Sequence[str]) -> None:
    """Answer --help and refuse a wrong option or folder; what reproduce.sh asks before it sets up."""
    read_pages_options(arguments)


@command
def main(arguments: Sequence[str]) -> None:
    """Build the pages of results/cpu, or of the results folder given, into results/docs."""
    output = ROOT / "results" / "docs"
    if build(read_pages_options(arguments), output):
        raise InputError("Sphinx could not build the pages: it says why above.")
    print_line(f"The pages: {shown(output / 'index.html')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
