"""Build HTML pages of a finished run: `./reproduce.sh docs [RESULTS]` writes results/docs.

Sphinx builds them from the documents, the notebooks with their outputs, a gallery of figures and the
docstrings. They work without a network. Only the standard library is imported at the top, so that --help
and option errors work before anything is installed.
"""

import inspect
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ccutils.chain.cli import Parser, shown
from ccutils.chain.job import print_line, run_notebook
from ccutils.chain.profiles import ROOT
from ccutils.errors import InputError, command

PACKAGES = ("tasks", "contexts", "models", "training", "probes", "evaluation", "report", "theory", "tools")
DOCUMENTS = ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "benchmarks/README.md")
CONTENTS = "\n```{{toctree}}\n:caption: {}\n:hidden:\n:glob:\n\n{}\n```\n"
PAGES = {
    "Read": "docs/*\ngallery\nCONTRIBUTING\nCHANGELOG\nbenchmarks/README",
    "Notebooks": "notebooks/*",
    "Reference": "api/*",
}
FRAME = '<iframe src="figures/{}" title="{}" loading="lazy" width="100%" height="560"></iframe>'


def lay_out(results: Path, sources: Path) -> None:
    """Write the sources of all pages to a folder."""
    for folder in ("notebooks", "api", "benchmarks", "extra"):
        (sources / folder).mkdir()
    shutil.copytree(ROOT / "docs", sources / "docs")
    for name in DOCUMENTS:
        shutil.copy(ROOT / name, sources / name)
    contents = "".join(CONTENTS.format(*page) for page in PAGES.items())
    (sources / "index.md").write_text((ROOT / "README.md").read_text(encoding="utf-8") + contents, "utf-8")
    (sources / "gallery.md").write_text(write_gallery(results), encoding="utf-8")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(find_executed(notebook, results), sources / "notebooks" / notebook.name)
    for name in PACKAGES:
        text = f"# ccutils.{name}\n\n```{{eval-rst}}\n.. automodule:: ccutils.{name}\n   :members:\n```\n"
        (sources / "api" / f"{name}.md").write_text(text, encoding="utf-8")


def find_executed(notebook: Path, results: Path) -> Path:
    """Find the executed copy of a notebook, that of strategy contrastive if there are several.

    A notebook that is not a job of the chain is executed now, on the same results.
    """
    folder = results / "notebooks" / notebook.stem
    copies = sorted(folder.glob("*.ipynb"), key=lambda path: ("-contrastive-" not in path.name, path.name))
    if not copies:
        print_line(f"Running {notebook.name}, which is not part of the chain (1 to 2 minutes)")
        run_notebook(notebook, f"{notebook.stem}/all", {}, results)
    return copies[0] if copies else folder / "all.ipynb"


def write_gallery(results: Path) -> str:
    """Write the gallery as Markdown: each interactive figure with its caption and its code."""
    from ccutils.report.build import DRAWN, READINGS  # here, since it needs installed packages

    parts = [
        "# Gallery\n\nHover over a mark for its numbers; click a strategy in a legend to highlight it.\n"
    ]
    for path in sorted((results / "figures").glob("*.html")):
        kind = path.stem.split("-")[0]
        title, code = path.stem.replace("_", " ").capitalize(), inspect.getsource(DRAWN[kind])
        parts.append(f"## {title}\n\n{FRAME.format(path.name, title)}\n\n{READINGS[kind]}\n")
        parts.append(f"[This figure alone](figures/{path.name}). Its code:\n\n```python\n{code}```\n")
    for path in sorted((results / "minimal_model").glob("*.html")):
        title = f"The minimal model: {path.stem.replace('_', ' ')}"
        picture = f"![{title}](minimal_model/{path.stem}.png)"
        parts.append(f"## {title}\n\n{picture}\n\n[Interactive](minimal_model/{path.name}).\n")
    return "\n".join(parts)


def build(results: Path, output: Path, *options: str) -> int:
    """Build the pages of a finished run in `output`, and return Sphinx's exit status.

    Raises InputError if the folder has no finished run.
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
        for page in (results / "report.html", results / "answers.html"):
            if page.exists():
                shutil.copy(page, sources / "extra")
        print_line("Building the pages (1 to 2 minutes)")
        settings = ["-q", "-c", str(ROOT / "docs"), "-D", f"html_extra_path={sources / 'extra'}", *options]
        return int(sphinx(["-b", "html", *settings, str(sources), str(output)]))


def check_finished(results: Path) -> None:
    """Raise InputError for a folder without a finished run."""
    if not (results / "report.html").exists():
        raise InputError(f"{results} has no report.html: run ./reproduce.sh first, or give another folder.")


def read_options(arguments: Sequence[str]) -> Path:
    """Read the results folder from a command line. Raises InputError if no run has finished in it."""
    parser = Parser(
        prog="./reproduce.sh docs",
        description="Build HTML pages in results/docs: the documents, the notebooks with their outputs, a "
        "gallery of figures, and the docstrings. The pages work without a network.",
    )
    text = "results folder of a finished run, such as results/smoke (default: results/cpu)"
    parser.add_argument("results", nargs="?", default=ROOT / "results" / "cpu", type=Path, help=text)
    results: Path = parser.parse_args(arguments).results.resolve()
    check_finished(results)
    return results


@command
def refuse_options(arguments: Sequence[str]) -> None:
    """Print --help, or raise for a wrong option or folder. reproduce.sh calls this before the set-up."""
    read_options(arguments)


@command
def main(arguments: Sequence[str]) -> None:
    """Build the pages of a results folder (default: results/cpu) in results/docs."""
    output = ROOT / "results" / "docs"
    if build(read_options(arguments), output):
        raise InputError("Sphinx could not build the pages: see its message above.")
    print_line(f"Pages: {shown(output / 'index.html')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
