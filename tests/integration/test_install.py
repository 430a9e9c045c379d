"""The wheel and environment.yml in clean environments: the core works without torch.

Of environment.yml what pip installs is tried, with the Python at hand; conda's own solver is not.
"""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
UV = (sys.executable, "-m", "uv")
CORE = """
import importlib, pkgutil, sys
from pathlib import Path
from ccutils import contexts, probes, tasks
from ccutils.records import Run
for room in (contexts, probes, tasks):  # every file: a lowest version may lack what only one of them uses
    for file in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"{room.__name__}.{file.name}")
task = tasks.load_task("topics", seed=0)
rows = list(contexts.ContrastiveContexts(task.pool, k=4).rows())
asked = probes.make_questions(task, k=2, seed=0, n_targets=4)
run = Run(Path("x"), "topics", "m", "base", 0)
measured = probes.measure(asked, [q.expected.output for q in asked.questions], run, 0)
print(len(rows), {r.value for r in measured if r.probe in ("iwl", "icl")}, "torch" in sys.modules)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["highest", "lowest-direct"])
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """The interpreter of an environment with the wheel and the highest, or lowest, versions it allows."""
    folder = tmp_path_factory.mktemp("clean")
    found = str(folder / "clean" / "bin" / "python")
    done(*UV, "venv", "-q", "--python", sys.executable, str(folder / "clean"), cwd=folder)
    options = ("--python", found, "--resolution", request.param, str(wheel))
    done(*UV, "pip", "install", "-q", *options, cwd=folder)
    return found


def test_the_core_works_where_only_the_wheel_is_installed(python: str, tmp_path: Path) -> None:
    assert done(python, "-c", CORE, cwd=tmp_path).strip() == "1000 {1.0} False"
    assert "export" in done(str(Path(python).with_name("ccutils")), "--help", cwd=tmp_path)
    installed = done(*UV, "pip", "freeze", "--python", python, cwd=tmp_path)
    assert "torch" not in installed and "contrastive-context" in installed


def test_the_tests_of_the_core_pass_there(python: str, wheel: Path, tmp_path: Path) -> None:
    """Those that need neither torch nor real data. It comes last, since it installs more."""
    options = ("--python", python, "--resolution", "lowest-direct")
    more = (f"{wheel}[tfidf]", f"pytest=={version('pytest')}", f"hypothesis=={version('hypothesis')}")
    before = done(*UV, "pip", "freeze", "--python", python, cwd=tmp_path).splitlines()
    held = tmp_path / "held.txt"  # what the first test was run with stays
    held.write_text("\n".join(line for line in before if "==" in line))
    done(*UV, "pip", "install", "-q", *options, "-c", str(held), *more, cwd=tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    rooms = [str(tmp_path / "tests" / name) for name in ("tasks", "contexts", "probes")]
    said = done(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *rooms, cwd=tmp_path)
    passed, skipped = (int(re.findall(rf"(\d+) {what}", said)[-1]) for what in ("passed", "skipped"))
    assert passed > skipped


def done(*command: str, cwd: Path) -> str:
    found = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert found.returncode == 0, (found.stdout + found.stderr)[-2000:]
    return found.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of this working tree is installed, in a folder of its own: installing leaves files behind."""
    folder = tmp_path_factory.mktemp("copy")
    files = done("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in [f for f in files if f.startswith("ccutils/") or "/" not in f]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    done(*UV, "build", "-q", "--wheel", "-o", "dist", ".", cwd=folder)
    return next((folder / "dist").glob("contrastive_context-*.whl"))
