"""A chain of notebooks that only write their outputs: the graph can be tested in seconds, offline."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]

TRAIN = """
if Path(results, "wait").exists():  # deaf to an interruption until it is gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    write("waiting")
    while Path(results, "wait").exists():
        time.sleep(0.1)
if fail == "input":
    raise InputError("k is wrong: lower it.")
if fail == "bug" and strategy == "random":
    raise KeyError("x")
for seed in seeds:
    write(f"{task}/{model}/{strategy}/seed-{seed}/done.json")
"""
PROBES = 'for seed in seeds:\n    write(f"{task}/{model}/{strategy}/seed-{seed}/probes.parquet")\n'
NOTEBOOKS = {  # parameters and body of each
    "00_start_here": ('task = "topics"\nmodel = "tiny"', 'write(f"{task}/{model}/start.json")'),
    "01_minimal_model": ("", 'write("minimal_model/numbers.json")'),
    "01b_phase_diagrams": ("", 'write("minimal_model/transformer.json")'),
    "02_contexts": (
        'task = "topics"\nmodel = "tiny"\nseeds = [0]\nk = 6',
        'write(f"{task}/contexts.parquet")',
    ),
    "03_ic_train": (
        'task = "topics"\nmodel = "tiny"\nstrategy = "random"\nseeds = [0]\nk = 6\np = 0.5\nepsilon = 0.1\n'
        'steps = 10\ntargets = "all-linear"\ntask_options = {}\nfail = ""',
        TRAIN,
    ),
    "04_probes": ('task = "topics"\nmodel = "tiny"\nstrategy = "random"\nseeds = [0]\nk = 6', PROBES),
    "05_figures": ("", 'write("report.html"); write("answers.html")'),
}
HEAD = """
import signal
import time
from pathlib import Path
from ccutils.errors import InputError

def write(name):
    path = Path(results) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
"""


def make_notebook(path: Path, parameters: str, body: str) -> None:
    """Write a notebook of two code cells, the first tagged `parameters`."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "metadata": {"tags": tags},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for i, (tags, source) in enumerate([(["parameters"], parameters), ([], HEAD + body)])
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))


def make_chain(folder: Path) -> Path:
    """Write the notebooks and a profile that runs them into `folder`; return the profile's path."""
    for name, (parameters, body) in NOTEBOOKS.items():
        make_notebook(
            folder / "notebooks" / f"{name}.ipynb", f'results = "../results/try"\n{parameters}', body
        )
    profile = folder / "stub.yaml"
    folders = "".join(f"{name}: {json.dumps(str(folder / name))}\n" for name in ("notebooks", "results"))
    runs = "tasks: {topics: {}}\nmodels: [tiny]\nstrategies: [random]\nseeds: [[0, 1]]\nparameters: {k: 4}\n"
    profile.write_text(folders + runs)  # JSON's quoted text is YAML's, whatever the folder is called
    (folder / "results").mkdir(parents=True, exist_ok=True)
    return profile
