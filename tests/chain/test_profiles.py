"""Profiles: their shape, --set, and what each notebook is given."""

from pathlib import Path

import pytest
from stub_chain import make_chain, make_notebook

from ccutils.chain.preflight import check_profile
from ccutils.chain.profiles import (
    declared_parameters,
    from_root,
    known_profiles,
    make_profile,
    notebook_values,
    profile_path,
    read_profile,
    to_config,
)
from ccutils.tasks import load_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return make_chain(tmp_path)


def test_a_notebook_gets_what_it_declares_and_task_and_settings_override(stub: Path) -> None:
    stub.write_text(stub.read_text().replace("{topics: {}}", "{topics: {k: 2}, gloss: {}}"))
    profile = read_profile(stub)
    assert profile.values("03_ic_train", task="gloss", seeds=[0]) == {"task": "gloss", "seeds": [0], "k": 4}
    assert profile.values("03_ic_train", task="topics")["k"] == 2
    assert profile.values("05_figures", task="topics") == {}
    assert read_profile(stub, ["k=3"]).values("03_ic_train", task="topics")["k"] == 3


@pytest.mark.parametrize(
    ("setting", "attribute", "value"),
    [
        ("task=gloss", "tasks", {"gloss": {}}),
        ("strategy=[none, similar]", "strategies", ("none", "similar")),
        ("model=org/name", "models", ("org/name",)),
        ("seeds=[3, 4]", "seeds", ((3, 4),)),
        ("seeds=5", "seeds", ((5,),)),
        ("results=/tmp/elsewhere", "results", "/tmp/elsewhere"),
        ("steps=20", "overrides", {"steps": 20}),
        ("p=1", "overrides", {"p": 1}),
        ("p=2e-1", "overrides", {"p": 0.2}),
        ("targets=[q_proj, v_proj]", "overrides", {"targets": "q_proj,v_proj"}),
        ("fail=./LICENSE", "overrides", {"fail": str(ROOT / "LICENSE")}),
        ("fail=tests", "overrides", {"fail": "tests"}),
        ("model=./tests", "models", (str(ROOT / "tests"),)),
        ("fail=a=b", "overrides", {"fail": "a=b"}),
    ],
)
def test_set(stub: Path, setting: str, attribute: str, value: object) -> None:
    assert getattr(read_profile(stub, [setting]), attribute) == value


def test_seeds_stay_one_a_job_where_the_profile_has_them_so(stub: Path) -> None:
    stub.write_text(stub.read_text().replace("[[0, 1]]", "[[0], [1]]"))
    assert read_profile(stub, ["seeds=[3, 4]"]).seeds == ((3,), (4,))


def test_what_yaml_reads_in_one_way_is_read(stub: Path) -> None:
    values = {"k=1_0": 10, "steps=0": 0, "steps=0x1F": 31, "p=0.5": 0.5, "results='010'": "010"}
    for setting, value in values.items():
        profile = read_profile(stub, [setting])
        assert {**profile.overrides, "results": profile.results}[setting.partition("=")[0]] == value
    merged = stub.read_text().replace("{k: 4}", "{<<: {k: 4}}")
    stub.write_text(merged)
    assert read_profile(stub).parameters == {"k": 4}


def test_a_results_folder_may_begin_at_home(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(stub.parent))
    assert read_profile(stub, ["results=~/own"]).results_folder == (stub.parent / "own").resolve()


def test_config_survives_the_way_to_snakemake(stub: Path) -> None:
    profile = read_profile(stub, ["steps=20", "task=gloss"])
    assert to_config(make_profile(to_config(profile))) == to_config(profile)


class TestByHand:
    """A notebook opened by hand takes the values of a profile."""

    CHAIN = ("00_start_here", "02_contexts", "03_ic_train", "04_probes", "05_figures")

    @pytest.mark.parametrize("notebook", CHAIN)
    @pytest.mark.parametrize("name", known_profiles())
    def test_every_profile_gives_what_its_job_gets(self, name: str, notebook: str) -> None:
        profile = read_profile(profile_path(name))
        values = notebook_values(name, notebook)
        declared = declared_parameters(ROOT / "notebooks" / f"{notebook}.ipynb")
        assert set(values) <= set(declared) - {"profile", "strategy"}
        run = {"task": next(iter(profile.tasks)), "model": profile.models[0], "seeds": [*profile.seeds[0]]}
        expected = profile.values(notebook, **run)
        assert {n: v for n, v in values.items() if n != "results"} == expected
        assert values["results"] == str(ROOT / "results" / name)

    def test_without_a_profile_nothing_changes(self) -> None:
        assert notebook_values("", "03_ic_train") == {}


def test_declared_parameters_reads_literals_and_annotations(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    make_notebook(path, 'k: int = 3  # why\nnames = ["a",\n  "b"]\nx = len(names)\nif k:\n    y = 1', "")
    assert declared_parameters(path) == {"k": 3, "names": ["a", "b"], "x": None}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow" / "profiles").glob("*.yaml")), ids=lambda path: path.stem
)
def test_profiles_of_the_repository_fit_the_notebooks(path: Path) -> None:
    profile = read_profile(path)
    assert profile.results == f"results/{path.stem}"
    assert profile.gpu == (path.stem in ("t4", "rtx24", "paper"))


def test_a_task_may_be_in_a_profile_more_than_once(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "tasks: {topics-few: {task_options: {n_topics: 8}}, topics-many: {task_options: {n_topics: 20}}}\n"
        "models: [tiny]\nstrategies: [random]\nseeds: [[0]]\n"
    )
    profile = read_profile(path)
    sizes = {}
    for name in profile.tasks:
        given = profile.values("03_ic_train", task=name)
        sizes[given["task"]] = load_task(given["task"], seed=0, **given["task_options"]).facts["n_topics"]
    assert sizes == {"topics-few": 8, "topics-many": 20}
    check_profile(profile)


def test_settings_change_what_they_name_of_a_mapping() -> None:
    """--set task_options={n_test: 5} leaves the profile's other options of the task as they are."""
    config = {"tasks": {"topics": {"task_options": {"zipf": 0.5, "n_test": 50}}}}
    lists = {"models": ["tiny"], "strategies": ["random"], "seeds": [[0]]}
    profile = make_profile({**config, **lists, "overrides": {"task_options": {"n_test": 5}}})
    assert profile.values("03_ic_train", task="topics")["task_options"] == {"zipf": 0.5, "n_test": 5}


def test_a_number_that_yaml_reads_as_a_text_is_a_number(stub: Path) -> None:
    stub.write_text(
        stub.read_text()
        .replace("{k: 4}", "{k: 4, p: 5e-2}")
        .replace("{topics: {}}", "{topics: {epsilon: 1E-1}}")
    )
    assert read_profile(stub).values("03_ic_train", task="topics") == {
        "k": 4,
        "p": 0.05,
        "epsilon": 0.1,
        "task": "topics",
    }


def test_a_path_is_read_from_the_repository_even_without_a_slash() -> None:
    assert from_root({"path": "tests", "answer": "tests"}) == {"path": str(ROOT / "tests"), "answer": "tests"}
