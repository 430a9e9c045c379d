"""Prepare a Colab runtime from the first cell of a notebook: add what it lacks, change nothing it has.

Colab's kernel has imported numpy and pandas before the first cell runs: another version of what is loaded
would break every later cell. So only what is missing is installed, in the lock's versions, each without
its dependencies, of which those that are missing too follow.
"""

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ccutils.chain.environment import read_lock
from ccutils.chain.profiles import ROOT
from ccutils.errors import InputError

EXTRAS = ("train", "tfidf", "smollm2", "notebooks")
OUTSIDE = {"snakemake", "papermill", "jupyterlab", "ipykernel"}
"""What runs notebooks from outside: no notebook imports it."""


def prepare() -> None:
    """Install what this environment lacks for the notebooks and say in one line what was done.

    Raises InputError where pip cannot.
    """
    wanted = read_requirements()
    added: list[str] = []
    while lacking := find_lacking([*wanted, *dependencies(added)]):
        install([pin for name, pin in read_pins().items() if name in lacking])
        added += lacking
    done = f"added {', '.join(added)}" if added else "nothing had to be added"
    print(f"ccutils from {ROOT}; {done}; no package of this runtime was changed.{tell_untried(wanted)}")


def read_requirements() -> list[Requirement]:
    """Return what pyproject.toml asks for, less what runs the notebooks from outside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for name in EXTRAS for text in project["optional-dependencies"][name]]
    return [r for r in map(Requirement, project["dependencies"] + extras) if r.name not in OUTSIDE]


def dependencies(names: Iterable[str]) -> list[Requirement]:
    """Return what installed packages ask for here, without extras."""
    found = [Requirement(text) for name in names for text in requires(name) or []]
    return [need for need in found if need.marker is None or need.marker.evaluate({"extra": ""})]


def installed_version(name: str) -> str | None:
    """Return a package's installed version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def find_lacking(needs: Iterable[Requirement]) -> list[str]:
    """Return the names of those that are not installed in any version, sorted."""
    return sorted({canonicalize_name(need.name) for need in needs if installed_version(need.name) is None})


def read_pins() -> dict[str, str]:
    """Return the lock's pin of each package on this platform and Python."""
    pins = read_lock(ROOT / "requirements.lock")
    usable = (pin for pin in pins if pin.marker is None or pin.marker.evaluate())
    return {canonicalize_name(pin.name): f"{pin.name}{pin.specifier}" for pin in usable}


def install(pins: list[str]) -> None:
    """Install exactly these packages. Raises InputError with pip's last words and what to do."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise InputError(
            f"this runtime could not add {', '.join(pins)} ({words}): run the cell again, or choose Runtime "
            "> Disconnect and delete runtime first."
        )
    importlib.invalidate_caches()


def tell_untried(wanted: Iterable[Requirement]) -> str:
    """Return a sentence on packages that are older or newer than those tried, or nothing."""
    found = [(need, installed_version(need.name)) for need in wanted]
    other = [f"{need.name} {have}" for need, have in found if have and have not in need.specifier]
    return f" Not tried with {', '.join(other)}: if a later cell fails, that may be why." if other else ""
