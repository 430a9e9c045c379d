"""MTOP: its three forms of files, the split by domain, changed labels."""

import json
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from ccutils.errors import InputError
from ccutils.probes.questions import CHANGED, make_questions
from ccutils.tasks import load_task
from ccutils.tasks.mtop import mtop
from ccutils.tasks.splits import normalise

DATA = Path(__file__).parents[3] / "shared" / "data" / "mtop_en"
real = pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
SIZES = {"train": 30, "eval": 6, "test": 12}
DOMAINS = {"alarm": "GET_ALARM", "timer": "GET_TIMER", "music": "PLAY_MUSIC"}


def test_the_original_files(tmp_path):
    task = load(write_original(tmp_path))
    assert (len(task.pool), len(task.ood_pool), len(task.id_test), len(task.ood_test)) == (20, 10, 8, 4)
    assert {e.group for e in task.ood_pool} == {e.group for e in task.ood_test} == {"timer"}
    assert {e.group for e in task.pool} == {"alarm", "music"}
    assert '"train' in task.pool[0].input  # quotes are text, not CSV
    assert task.facts["rows_read"] == 42 and task.facts["rows_set_aside"] == 0


def test_invented_label_names_change_nothing_but_the_names(tmp_path):
    path = write_original(tmp_path)
    own, invented = (load(path, answer="intent", label_names=names) for names in ("own", "invented"))
    for part in ("pool", "id_test", "ood_test", "ood_pool"):
        before, after = getattr(own, part), getattr(invented, part)
        assert [e.input for e in before] == [e.input for e in after]
        names = {(b.output, a.output) for b, a in zip(before, after, strict=True)}
        assert len(names) == len({b for b, _ in names}) == len({a for _, a in names})
        assert not {b for b, _ in names} & {a for _, a in names}
    with pytest.raises(InputError, match="label_names"):
        load(path, answer="parse", label_names="invented")


def test_the_hub_copy_has_each_column_twice(tmp_path, monkeypatch):
    def load_dataset(name, config, *, split):
        assert (name, config) == ("WillHeld/mtop", None)
        frame = pd.DataFrame(rows(split.removesuffix("_de")))
        blank = frame.rename(columns=lambda c: c if c == "id" else f" {c}")
        columns = [*blank.columns, *(c for c in frame.columns if c != "id")]
        filled = blank if split.startswith("train") else frame  # which half is filled differs by split
        return filled.reindex(columns=columns).to_dict("records")

    datasets = pytest.importorskip("datasets")

    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: ["train_de", "eval_de", "test_de"])
    hub, local = load("WillHeld/mtop"), load(write_original(tmp_path))
    assert hub.pool == local.pool and hub.ood_test == local.ood_test


def test_a_hub_copy_with_all_languages_in_one_split(tmp_path, monkeypatch):
    """Columns as the copies documented with a `lang` column have them."""
    datasets = pytest.importorskip("datasets")

    names = {
        "utterance": "question",
        "dcp_form": "logical_form",
        "locale": "lang",
        "id": "idx",
        "slot": "spans",
    }

    def load_dataset(name, config, *, split):
        frame = pd.DataFrame(rows("eval" if split == "validation" else split)).rename(columns=names)
        french = frame.assign(lang="fr_XX", question="bonjour " + frame["question"])
        return pd.concat([frame, french]).to_dict("records")

    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: ["train", "validation", "test"])
    with pytest.warns(UserWarning, match="locale fr_XX is not de: 42 rows"):
        hub = load("tasksource/mtop")
    assert hub.pool == load(write_original(tmp_path)).pool
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: ["train", "validation"])
    with pytest.raises(InputError, match=r"'de'.*train, validation"):
        load("tasksource/mtop")


def test_spellings_of_a_domain_and_of_an_intent_are_one(tmp_path):
    def spell(lines):
        accented = [line.replace("\ttimer\t", "\tz\u00ebit\t").replace("GET_", "G\u00ebT_") for line in lines]
        return [unicodedata.normalize(("NFC", "NFD")[i // 3 % 2], line) for i, line in enumerate(accented)]

    path = write_original(tmp_path, spell)
    with pytest.warns(UserWarning, match="one class"):
        task = mtop(seed=0, path=path, language="de", ood_domains=["ze\u0308it"], answer="intent")
    assert (len(task.pool), len(task.ood_pool), len(task.id_test), len(task.ood_test)) == (20, 10, 8, 4)
    alarms = [e for e in task.pool if "alarm" in e.input]
    assert len({e.output for e in alarms}) == 2 and all(task.relevant(alarms[0], e) for e in alarms)


def test_bad_rows_are_set_aside_with_file_and_line(tmp_path):
    def spoil(lines):
        lines[1] = lines[1].replace("] ]", "]")
        lines[4] = lines[4].replace("de_XX", "fr_XX")
        return lines

    with pytest.warns(UserWarning) as told:
        task = load(write_original(tmp_path, spoil))
    assert task.facts["rows_set_aside"] == 4  # two in train, two in test
    messages = [str(w.message) for w in told]
    assert any(
        "not a logical form: a bracket is not closed" in m and "train.txt, line 2" in m for m in messages
    )
    assert any("locale fr_XX is not de" in m and "test.txt, line 5" in m for m in messages)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda lines: [lines[0], lines[1] + "\tmore"], {}, "line 2: 9 columns"),
        (lambda lines: [], {}, "line 1: 1 columns"),
        (lambda lines: lines, {"ood_domains": ["cooking"]}, "'cooking'.*alarm, music, timer"),
        (lambda lines: lines, {"ood_domains": ["alarm", "music", "timer"]}, "pool"),
        (lambda lines: lines, {"language": "fr"}, "train.txt"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, change, options, said):
    path = write_original(tmp_path, change)
    with pytest.raises(InputError, match=said):
        mtop(**{"seed": 0, "path": path, "language": "de", "ood_domains": ["timer"], **options})


@real
def test_the_real_english_files():
    task = load_task("mtop", seed=0, path=str(DATA), answer="intent", pool_size=5000, n_test=1000)
    assert task.facts["rows_read"] == 16_667
    assert task.facts["rows_set_aside"] == 272  # 1.7% of train: no test row shows the domain of their intent
    assert (len(task.pool), len(task.id_test), len(task.ood_test)) == (5000, 844, 156)
    sets = (task.pool, task.id_test, task.ood_test, task.ood_pool)
    keys = [{normalise(e.input) for e in part} for part in sets]
    assert sum(map(len, keys)) == len(set().union(*keys)) == sum(map(len, sets))
    assert {e.group for e in task.ood_test} == {"people", "timer"}
    assert not {e.output for e in task.pool} & {e.output for e in task.ood_test}  # OOD intents are new
    assert task.score([e.output for e in task.id_test], task.id_test).mean() == 1.0


@real
def test_seeds_redraw_the_pool_and_keep_the_tests():
    a, again, b = (mtop(seed=s, path=str(DATA)) for s in (1, 1, 2))
    assert a.pool == again.pool and a.ood_pool == again.ood_pool
    assert a.pool != b.pool and a.id_test == b.id_test and a.ood_test == b.ood_test


@real
def test_the_tiny_base_can_write_every_expected_answer():
    """And what it writes is read as what was expected: its tokenizer puts a space behind each bracket."""
    pytest.importorskip("torch")
    from ccutils.evaluation.responder import check_written
    from ccutils.models.tiny import word_tokenizer

    task = mtop(seed=0, path=str(DATA))
    items, tokenizer = make_questions(task, 4, seed=0, n_targets=40), word_tokenizer(task, 4000)
    assert sum(item.kind == CHANGED for item in items.questions) > 50
    check_written(tokenizer, items, "tiny")
    expected = [item.expected for item in items.questions if "[_" not in item.expected.output]
    written = [tokenizer.decode(tokenizer.encode(e.output)) for e in expected]
    assert task.score(written, expected).mean() > 0.98  # some words have signs that become words of their own


@real
def test_missing_domains_are_told(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text(
            json.dumps({"question": "hi", "logical_form": "[IN:HI ]"}), encoding="utf-8"
        )
    with pytest.raises(InputError, match="domain"):
        mtop(seed=0, path=str(tmp_path))


def rows(split: str) -> list[dict[str, str]]:
    """Made-up rows in the shape of the original files."""
    made = []
    for i in range(SIZES[split]):
        domain = sorted(DOMAINS)[i % 3]
        word = f"{split}{i}"
        made.append(
            {
                "id": str(i),
                "intent": f"IN:{DOMAINS[domain]}",
                "slot": f"5:9:SL:{domain.upper()}",
                "utterance": f'bitte "{word}" {domain}',
                "domain": domain,
                "locale": "de_XX",
                "dcp_form": f"[IN:{DOMAINS[domain]} [SL:{domain.upper()} {word} ] ]",
                "tokens": "{}",
            }
        )
    return made


def write_original(folder: Path, change=lambda lines: lines) -> str:
    """The original layout: a folder for each language, tab-separated, no header."""
    (folder / "de").mkdir()
    for split in SIZES:
        lines = change(["\t".join(row.values()) for row in rows(split)])
        (folder / "de" / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)


def load(path: str, **options):
    return mtop(seed=0, path=path, language="de", ood_domains=["timer"], **options)
