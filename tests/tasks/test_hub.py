"""Hub data sets: told from paths, refused in one sentence and at once, drawn from where they are large."""

import pytest

from ccutils.errors import InputError
from ccutils.tasks import load_task
from ccutils.tasks.hub import hub_configs, hub_splits, is_hub_id, read_hub

datasets = pytest.importorskip("datasets")


@pytest.fixture
def asked(monkeypatch):
    """How often the Hub was asked; it cannot be reached."""
    times = []

    def ask(name, timeout):
        times.append(name)
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr("huggingface_hub.dataset_info", ask)
    return times


def test_hub_ids_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mtop").mkdir(parents=True)
    assert is_hub_id("WillHeld/mtop") and is_hub_id("wmt/wmt19.1")
    for path in ("data/mtop", "mtop", "../mtop", "./mtop", "~/mtop", "/data/mtop", "a/b/c", ""):
        assert not is_hub_id(path), path


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv", "mine.parquet"])
def test_a_mistyped_file_is_no_hub_id(tmp_path, monkeypatch, asked, name):
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id(f"data/{name}")
    with pytest.raises(InputError, match=f"^data/{name}"):
        load_task("jsonl", seed=0, path=f"data/{name}")
    (tmp_path / "db.sqlite").touch()
    with pytest.raises(InputError, match=f"^data/{name}"):
        load_task("text_to_sql", seed=0, path=f"data/{name}", databases=".")
    assert asked == []


def test_without_a_network_it_is_asked_once_and_told_in_one_sentence(monkeypatch, asked):
    before = datasets.config.HF_HUB_OFFLINE
    for get in (lambda: read_hub("a/b", "train"), lambda: hub_splits("a/b"), lambda: hub_configs("a/b")):
        with pytest.raises(InputError, match=r"'a/b'.*\(Name or service not known\)[^\n]*$"):
            get()
    assert asked == ["a/b"] * 3
    assert datasets.config.HF_HUB_OFFLINE is before


def test_without_a_network_what_is_on_this_machine_is_read(monkeypatch, asked):
    def load_dataset(name, config, *, split):
        assert datasets.config.HF_HUB_OFFLINE, "so that nothing is tried again and again"
        return [{"n": 1}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert [record.values for record in read_hub("a/b", "train")] == [{"n": 1}]


def test_what_the_library_says_of_an_id_is_passed_on(monkeypatch):
    def refuse(*args, **kwargs):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub\nmore")

    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match=r"'train'.*\(Dataset 'a/b' doesn't exist on the Hub\)"):
        read_hub("a/b", "train")


def test_of_a_large_hub_set_some_rows_are_drawn(monkeypatch):
    """`datasets` itself selects, so that the others are never read into memory."""
    rows = datasets.Dataset.from_dict({"n": list(range(1000))})
    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, *, split: rows)
    drawn, again = (read_hub("a/b", "train", most=10) for _ in range(2))
    assert drawn == again and len({r.values["n"] for r in drawn}) == 10
    assert all(r.place == f"a/b (train), row {r.values['n'] + 1}" for r in drawn)
    assert len(read_hub("a/b", "train")) == 1000


def test_classes_of_a_hub_set_are_read_by_name(monkeypatch):
    names = [f"label {i}" for i in range(3)]
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    columns = {"text": [f"word{i}" for i in range(90)], "label": [i % 3 for i in range(90)]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, *, split: rows)
    assert {r.text("label") for r in read_hub("a/b", "train", most=10)} <= set(names)
    task = load_task("jsonl", seed=0, path="a/b", input_column="text", output_column="label")
    assert {e.output for e in [*task.pool, *task.ood_pool]} == set(names)
