"""pyproject.toml (ranges), the two locks (exact versions of them), environment.yml and CITATION.cff agree."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ccutils
from ccutils.chain.environment import disagreements, read_lock

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PARTS = ("train", "tfidf", "smollm2", "notebooks")
ALL = PROJECT["dependencies"] + [text for part in PARTS for text in EXTRAS[part]]
LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


@pytest.mark.parametrize(
    ("dependencies", "lock"),
    [
        (ALL, LOCK),
        (ALL + EXTRAS["dev"] + EXTRAS["docs"], DEV_LOCK),
    ],
)
def test_locks_hold_what_pyproject_asks_for(dependencies: list[str], lock: Path) -> None:
    locked = pins(lock)
    for text in dependencies:
        wanted = Requirement(text)
        pinned = locked.get(canonicalize_name(wanted.name), set())
        versions = [pin.removeprefix("==") for pin in pinned]
        assert versions and all(version in wanted.specifier for version in versions), (
            f"{text} disagrees with {lock.name}: make the locks again (see [tool.uv.pip] in pyproject.toml)"
        )


def test_colab_gets_what_it_lacks() -> None:
    """Without dependencies: those of trl would replace a pyarrow that Colab's kernel has loaded."""
    colab = {
        canonicalize_name(pin.name) for pin in read_lock(ROOT / "tests" / "support" / "colab-2026-06.txt")
    }
    outside = {"torch", "snakemake", "papermill", "jupyterlab", "ipykernel"}  # Colab's own, or run notebooks
    wanted = {
        str(need) for need in map(Requirement, ALL) if canonicalize_name(need.name) not in colab | outside
    }
    added = {str(need) for need in read_lock(ROOT / "workflow" / "colab.txt")}
    assert wanted <= added
    for name in {Requirement(text).name for text in added}:
        for needed in map(Requirement, requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                known = {canonicalize_name(Requirement(text).name) for text in added} | colab | outside
                assert canonicalize_name(needed.name) in known, f"{name} needs {needed}"


@pytest.mark.parametrize("lock", [LOCK, DEV_LOCK])
def test_locks_are_exact(lock: Path) -> None:
    for name, versions in pins(lock).items():
        assert all(re.fullmatch(r"==[^,*]+", version) for version in versions), name


def test_the_package_can_be_installed_beside_others() -> None:
    """Ranges with a lowest version; none is an exact pin."""
    for text in ALL:
        operators = {part.operator for part in Requirement(text).specifier}
        assert ">=" in operators and operators <= {">=", "<"}, text


def test_the_extra_all_is_what_its_parts_are() -> None:
    (text,) = EXTRAS["all"]
    wanted = Requirement(text)
    assert wanted.name == PROJECT["name"]
    assert wanted.extras == set(PARTS)


def test_the_test_lock_is_the_lock_and_more() -> None:
    assert pins(LOCK).items() <= pins(DEV_LOCK).items()


@pytest.mark.parametrize("lock", [LOCK, DEV_LOCK])
def test_locks_leave_cuda_to_torch(lock: Path) -> None:
    assert not [name for name in pins(lock) if re.match(r"nvidia|cuda|triton", name)]


@pytest.mark.parametrize("lock", [LOCK, DEV_LOCK])
def test_locks_are_closed(lock: Path) -> None:
    locked = pins(lock)
    for pin in read_lock(lock):
        if pin.marker and not pin.marker.evaluate():
            continue
        for text in requires(pin.name) or []:
            needed = Requirement(text)
            if re.match(r"nvidia|cuda|triton", needed.name):
                continue
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in locked, f"{pin.name} needs {text}"


def test_environment_yml_installs_the_lock() -> None:
    packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = [item["pip"] for item in packages if isinstance(item, dict)]
    by_conda = {Requirement(item).name: Requirement(item) for item in packages if isinstance(item, str)}
    assert by_pip == [f"-r {LOCK.name}", "-e ."]
    assert set(by_conda) == {"python", "pip"}
    assert "3.11" in by_conda["python"].specifier and "3.13" in by_conda["python"].specifier
    assert "3.14" not in by_conda["python"].specifier  # one package of the lock has no wheel for it


def test_every_import_is_a_declared_dependency() -> None:
    declared = ALL + EXTRAS["comet"] + EXTRAS["sentence-transformers"] + EXTRAS["docs"]
    names = {canonicalize_name(Requirement(text).name) for text in declared}
    of_module = {**packages_distributions(), "comet": ["unbabel-comet"]}
    for path in sorted((ROOT / "ccutils").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in {module.split(".")[0] for module in modules}:
                if module != "ccutils" and module not in sys.stdlib_module_names:
                    owners = {canonicalize_name(name) for name in of_module.get(module, [module])}
                    assert owners & names, f"{path.name} imports {module}, which pyproject.toml does not name"


def test_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ccutils.__version__
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["preferred-citation"]["identifiers"][0]["value"] == "arXiv:2604.01601"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_disagreements_names_missing_and_other_versions(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        "# a comment\npyyaml==0.1\nno-such-package==1.0\nwinonly==1.0 ; sys_platform == 'win32'\n"
        f"pytest=={pytest.__version__}\n"
    )
    wrong, missing = disagreements(lock)
    assert wrong.startswith("pyyaml==0.1") and missing.startswith("no-such-package==1.0")


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions of each package of a lock; more than one where they depend on the platform or Python."""
    found: dict[str, set[str]] = {}
    for pin in read_lock(lock):
        found.setdefault(canonicalize_name(pin.name), set()).add(str(pin.specifier))
    return found
