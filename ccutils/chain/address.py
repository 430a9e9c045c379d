"""The repository's address, kept in pyproject.toml, and its copies: `python -m ccutils.chain.address [URL]`.

Badges and the first cell of every notebook need the address in full. This command writes them: with a URL it
changes the address, without one it takes that of git's remote `origin`.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ccutils.chain.profiles import ROOT
from ccutils.errors import InputError, command

GITHUB = re.compile(r"(?:https://|git@|ssh://git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
BADGE_CELL = """\
import os
import sys

if "google.colab" in sys.modules:  # in Colab alone: get the repository, add the packages that are missing
    address = "{address}"
    home = "/content/{name}"
    if not os.path.exists(home) and os.system(f"git clone -q --depth 1 {{address}} {{home}}"):
        raise RuntimeError(f"{{address}} could not be fetched: is it there, and this runtime connected?")
    os.chdir(f"{{home}}/notebooks")
    sys.path.insert(0, home)
    from ccutils.chain.colab import prepare

    prepare()"""


def read_address(root: Path = ROOT) -> str:
    """Return the repository's address as pyproject.toml has it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def slug(address: str) -> str:
    """Return owner/name of an address. Raises InputError if it is none of GitHub, where Colab reads from.

    >>> slug("git@github.com:someone/contexts.git")
    'someone/contexts'
    """
    found = GITHUB.match(address)
    if not found:
        raise InputError(f"{address!r} is no repository on GitHub: write https://github.com/OWNER/NAME.")
    return found[1]


def badge(name: str, address: str) -> str:
    """Return the badge, in Markdown, that opens a notebook of the repository in Colab."""
    place = f"https://colab.research.google.com/github/{slug(address)}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({BADGE})]({place})"


def first_cell(address: str) -> str:
    """Return the source of the cell that every notebook begins with; it does nothing outside Colab."""
    return BADGE_CELL.format(address=address, name=slug(address).split("/")[1])


def write_address(address: str, root: Path = ROOT) -> list[Path]:
    """Write the address into pyproject.toml, the badges of the README, badges and first cells of notebooks.

    Returns the files that were changed.
    """
    address = f"https://github.com/{slug(address)}"
    texts = {root / "pyproject.toml": set_in_project, root / "README.md": set_badges}
    changed = []
    for path, change in texts.items():
        changed += write_if_new(path, change(path.read_text(encoding="utf-8"), address))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        changed += write_if_new(path, set_in_notebook(path, address))
    return changed


def write_if_new(path: Path, text: str) -> list[Path]:
    if text == path.read_text(encoding="utf-8"):
        return []
    path.write_text(text, encoding="utf-8")
    return [path]


def set_in_project(text: str, address: str) -> str:
    return re.sub(r'^Repository = ".*"$', f'Repository = "{address}"', text, flags=re.M)


def set_badges(text: str, address: str) -> str:
    """Return a text with each of its badges leading to the repository's notebook of that name."""
    badges = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*/(\w+)\.ipynb\)")
    return badges.sub(lambda found: badge(found[1], address), text)


def set_in_notebook(path: Path, address: str) -> str:
    """Return a notebook's text with its badge and its cell tagged `colab` as the address has them."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if "colab" in cell["metadata"].get("tags", []):
            source = first_cell(address)
        cell["source"] = set_badges(source, address).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


@command
def main(arguments: Sequence[str]) -> None:
    """Write the address given, or git's, and tell which files changed."""
    if len(arguments) > 1:
        raise InputError("one address, or none for that of git's remote `origin`.")
    address = arguments[0] if arguments else origin()
    for path in write_address(address):
        print(f"written: {path.relative_to(ROOT)}")


def origin() -> str:
    """Return the address of git's remote `origin`. Raises InputError where there is none."""
    asked = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode:
        raise InputError(
            "git knows no remote `origin` here: give the address, https://github.com/OWNER/NAME."
        )
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
