"""The chain as a graph. ./reproduce.sh drives it; on a cluster call Snakemake itself, for example
snakemake --configfile profiles/paper.yaml --directory results/paper --executor slurm --jobs 20
"""

import json
import os
import sys
from pathlib import Path

# For this file and for the jobs, wherever they run: a cluster's node reads this file, too.
sys.path.insert(0, workflow.basedir)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [workflow.basedir, os.environ.get("PYTHONPATH")]))
from ccutils.chain.profiles import make_profile
from ccutils.chain.graph import data_files, watchable
from ccutils.records import MODEL_FOLDER, RUN_FOLDER, model_folder

threads_each = config.pop("threads", 1)
profile = make_profile({"results": str(Path.cwd()), **config})
MODELS = {model_folder(model): model for model in profile.models}  # as folders name them
GPU = 1 if profile.gpu else 0


def notebook(name):
    return watchable(profile.notebook(name))


def job(name, **fixed):
    """What a job's notebook is given, as JSON: when it changes, Snakemake runs the job again."""

    def parameters(wildcards):
        run = {**wildcards, **fixed}
        if "model" in run:
            run["model"] = MODELS[run["model"]]
        return json.dumps(profile.values(name, **run), sort_keys=True)

    return parameters


def runs(*pattern, **more):
    names = {"task": profile.tasks, "model": MODELS, "strategy": profile.strategies, **more}
    return expand("/".join(pattern), **names)


def data(wildcards):
    """A task's own data files, so that what is made of them is made again when they change."""
    options = profile.values("03_ic_train", task=wildcards.task).get("task_options", {})
    return [watchable(path) for path in data_files(options)]


shell.prefix("set -euo pipefail; exec ")  # no shell between a job and Snakemake, with which it ends

# Not the interpreter's own path: a rule whose text changes runs again, and another environment is no reason to.
EXECUTE = (
    '"${{CCUTILS_PYTHON:-python}}" -m ccutils.chain.job'
    " {input.notebook:q} {params.job:q} {params.parameters:q} {resources.gpu}"
)
SEEDS = [seed for group in profile.seeds for seed in group]


wildcard_constraints:
    task="[^/]+",
    model="[^/]+",
    strategy="[^/]+",


rule start:
    input:
        data,
        notebook=notebook("00_start_here"),
    output:
        MODEL_FOLDER + "/start.json",
    params:
        job="00_start_here/{task}-{model}",
        parameters=job("00_start_here"),
    threads: threads_each
    resources:
        gpu=GPU,
    shell:
        EXECUTE


rule minimal_model:
    input:
        notebook=notebook("01_minimal_model"),
    output:
        "minimal_model/numbers.json",
    params:
        job="01_minimal_model/all",
        parameters=job("01_minimal_model"),
    threads: threads_each
    resources:
        gpu=0,
    shell:
        EXECUTE


rule phase_diagrams:
    input:
        notebook=notebook("01b_phase_diagrams"),
    output:
        "minimal_model/transformer.json",
    params:
        job="01b_phase_diagrams/all",
        parameters=job("01b_phase_diagrams"),
    threads: threads_each
    resources:
        gpu=0,
    shell:
        EXECUTE


rule contexts:
    input:
        data,
        notebook=notebook("02_contexts"),
    output:
        "{task}/contexts.parquet",
    params:
        job="02_contexts/{task}",
        parameters=job("02_contexts", model=next(iter(MODELS)), seeds=SEEDS),
    threads: threads_each
    resources:
        gpu=0,
    shell:
        EXECUTE


# The seeds of a group share a job: where a run is short, its imports would cost as much as its training.
for group in profile.seeds:
    label = "-".join(map(str, group))

    rule:
        name:
            f"ic_train_{label}".replace("-", "_")
        input:
            MODEL_FOLDER + "/start.json",
            data,
            notebook=notebook("03_ic_train"),
        output:
            expand(RUN_FOLDER + "/done.json", seed=group, allow_missing=True),
        params:
            job="03_ic_train/{task}-{model}-{strategy}-" + label,
            parameters=job("03_ic_train", seeds=list(group)),
        threads: threads_each
        resources:
            gpu=GPU,
        shell:
            EXECUTE

    rule:
        name:
            f"probes_{label}".replace("-", "_")
        input:
            expand(RUN_FOLDER + "/done.json", seed=group, allow_missing=True),
            notebook=notebook("04_probes"),
        output:
            expand(RUN_FOLDER + "/probes.parquet", seed=group, allow_missing=True),
        params:
            job="04_probes/{task}-{model}-{strategy}-" + label,
            parameters=job("04_probes", seeds=list(group)),
        threads: threads_each
        resources:
            gpu=GPU,
        shell:
            EXECUTE


rule figures:
    default_target: True
    input:
        "minimal_model/numbers.json",
        "minimal_model/transformer.json",
        runs("{task}/contexts.parquet"),
        runs(RUN_FOLDER, "probes.parquet", seed=SEEDS),
        notebook=notebook("05_figures"),
    output:
        "report.html",
        "answers.html",
    params:
        job="05_figures/all",
        parameters=job("05_figures"),
    threads: threads_each
    resources:
        gpu=0,
    shell:
        EXECUTE
