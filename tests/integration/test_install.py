"""The wheel, and what environment.yml gives pip, in clean environments: the core works without torch."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

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


@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_the_core_works_where_only_the_wheel_is_installed(
    wheel: Path, tmp_path: Path, resolution: str
) -> None:
    """Then its tests, those that need neither torch nor real data, with what they need besides."""
    python = str(tmp_path / "clean" / "bin" / "python")
    done(*UV, "venv", "-q", "--python", sys.executable, str(tmp_path / "clean"), cwd=tmp_path)
    install, project = (*UV, "pip", "install", "-q", "--python", python), str(ROOT / "pyproject.toml")
    done(*install, "--resolution", resolution, "-r", project, cwd=tmp_path)  # of a wheel uv takes the highest
    done(*install, "--no-deps", str(wheel), cwd=tmp_path)
    assert done(python, "-c", CORE, cwd=tmp_path).strip() == "1000 {1.0} False"
    assert "export" in done(str(Path(python).with_name("ccutils")), "--help", cwd=tmp_path)
    installed = installed_in(python)
    assert "torch" not in installed and "contrastive-context" in installed
    bounds = [
        Requirement(text) for text in tomllib.loads(Path(project).read_text())["project"]["dependencies"]
    ]
    above = [b.name for b in bounds if installed[b.name] > Version(next(iter(b.specifier)).version)]
    assert (above == []) == (resolution == "lowest-direct"), above
    tools = [f"{name}=={version(name)}" for name in ("pytest", "hypothesis")]
    done(*install, "--resolution", resolution, "-r", project, "--extra", "tfidf", *tools, cwd=tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(project, tmp_path)
    rooms = [str(tmp_path / "tests" / name) for name in ("tasks", "contexts", "probes", "tools")]
    said = done(python, "-m", "pytest", "-p", "no:cacheprovider", *rooms, cwd=tmp_path)
    passed, skipped = (int(re.findall(rf"(\d+) {what}", said)[-1]) for what in ("passed", "skipped"))
    assert passed > skipped
    assert installed.items() <= installed_in(python).items()  # the tests ran with these very versions


def test_what_environment_yml_gives_pip_installs_the_locked_versions(copy: Path, tmp_path: Path) -> None:
    asked = yaml.safe_load((copy / "environment.yml").read_text())["dependencies"]
    (by_pip,) = [item["pip"] for item in asked if isinstance(item, dict)]
    done(sys.executable, "-m", "venv", str(tmp_path / "conda"), cwd=tmp_path)
    python = str(tmp_path / "conda" / "bin" / "python")
    (tmp_path / "by-pip.txt").write_text(
        "\n".join(by_pip).replace("-r ", f"-r {copy}/")
    )  # as conda writes it
    done(python, "-m", "pip", "install", "--quiet", "-r", str(tmp_path / "by-pip.txt"), cwd=copy)
    done(python, "-m", "ccutils.chain.environment", str(copy / "requirements.lock"), cwd=tmp_path)


def installed_in(python: str) -> dict[str, Version]:
    found = json.loads(
        done(*UV, "pip", "list", "--format", "json", "--python", python, cwd=Path(python).parent)
    )
    return {package["name"]: Version(package["version"]) for package in found}


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
    return folder


@pytest.fixture(scope="module")
def wheel(copy: Path) -> Path:
    """The wheel of this working tree."""
    done(*UV, "build", "-q", "--wheel", "-o", "dist", ".", cwd=copy)
    return next((copy / "dist").glob("contrastive_context-*.whl"))
