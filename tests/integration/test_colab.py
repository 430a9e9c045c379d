"""Every notebook in a runtime like Colab's: its versions, numpy and pandas imported, then the first cell.

torch is the lock's, since Colab's build is not on every package index, and Python the one at hand. What
Colab alone can show (its GPU, its page, its network) is not tried here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from ccutils.chain.profiles import ROOT, declared_parameters

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
VERSIONS = ROOT / "tests" / "support" / "colab-2026-06.txt"
SMOKE: dict[str, Any] = yaml.safe_load((ROOT / "workflow" / "profiles" / "smoke.yaml").read_text())[
    "parameters"
]


def test_the_notebooks_run_and_no_package_is_changed(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(runtime / "jupyter"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    freeze = (str(runtime / "env" / "bin" / "python"), "-m", "pip", "freeze")
    before = set(done(*freeze).splitlines())
    for path in NOTEBOOKS:
        notebook = as_in_colab(path, runtime)
        where = {"metadata": {"path": str(runtime)}}
        NotebookClient(notebook, kernel_name="python3", timeout=600, resources=where).execute()
    after = set(done(*freeze).splitlines())
    assert before <= after
    added = {line.split("==")[0] for line in after - before}
    assert {"trl", "bitsandbytes", "faiss-cpu", "vl-convert-python"} <= added and "torch" not in added


def done(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for Colab's /content, with an environment of its versions and a kernel of that."""
    content = tmp_path_factory.mktemp("content")
    done(sys.executable, "-m", "venv", str(content / "env"))
    python = content / "env" / "bin" / "python"
    (torch,) = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:7] == "torch=="
    ]
    pip = (str(python), "-m", "pip", "install", "--quiet")
    done(*pip, torch, "-c", str(VERSIONS))
    done(*pip, "--no-deps", "-r", str(VERSIONS))
    (site,) = (content / "env" / "lib").glob("python*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    kernel = content / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    return content


def as_in_colab(path: Path, content: Path) -> Any:
    """Return a notebook with Colab's start before it, smoke parameters, and this repository's last commit."""
    notebook = nbformat.read(path, as_version=4)
    for place, cell in enumerate(notebook.cells):
        if "colab" in cell.metadata.get("tags", []):
            local = f'input = lambda text: "file://{ROOT}"\n{cell.source}'
            cell.source = local.replace("/content/", f"{content}/")
        if "parameters" in cell.metadata.get("tags", []):
            given = {name: value for name, value in SMOKE.items() if name in declared_parameters(path)}
            last = place
    values = "\n".join(f"{name} = {value!r}" for name, value in given.items())
    notebook.cells.insert(last + 1, nbformat.v4.new_code_cell(values))
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import google.colab, numpy, pandas"))
    return notebook
