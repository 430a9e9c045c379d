"""Translation: NTREX's files as they are, the Hub's shapes, changed words."""

from pathlib import Path

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.probes.questions import CHANGED, make_questions
from ccutils.tasks.base import Example
from ccutils.tasks.relabel import INVENTED
from ccutils.tasks.splits import normalise
from ccutils.tasks.translation import (
    TRANSLATION_METRICS,
    change_word,
    changed_words,
    glossary,
    make_translation_score,
    put_word,
    translation,
    with_pairs,
    word_set,
)

DATA = Path(__file__).parents[3] / "shared" / "data" / "ntrex"
real = pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")


def test_documents_and_outlets_are_held_out_whole(tmp_path):
    path = ntrex(tmp_path)
    for group, size in (("document", 5), ("outlet", 20)):
        task = translation(seed=0, path=path, group=group)
        held = {e.group for e in [*task.ood_test, *task.ood_pool]}
        assert not held & {e.group for e in [*task.pool, *task.id_test]}
        assert len(task.ood_test) + len(task.ood_pool) == size * len(held)
    assert task.template.question.format(input="x") == "English: x\nGerman:"


def test_another_domain_as_ood(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = ntrex(tmp_path / "a")
    second = ntrex(tmp_path / "b", 30)
    for name in ("newstest2019-src.eng.txt", "newstest2019-ref.deu.txt"):
        file = tmp_path / "b" / name
        file.write_text(file.read_text().replace(" about ", " of ").replace("sentence", "phrase"))
    task = translation(seed=0, path=first, ood_path=second)
    assert len(task.pool) + len(task.id_test) == 60 and len(task.ood_pool) + len(task.ood_test) == 30
    assert all(e.input.startswith("phrase") for e in task.ood_pool)


def test_lines_without_a_translation_are_set_aside(tmp_path):
    path = ntrex(tmp_path, german=lambda lines: [*lines[:3], "  ", *lines[4:]])
    with pytest.warns(UserWarning, match=r"ref\.deu\.txt, line 4"):
        task = translation(seed=0, path=path)
    assert task.facts["rows_set_aside"] == 1


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        (
            {"german": lambda lines: lines[:-1]},
            {},
            r"eng.txt has 60, .*deu.txt has 59",
        ),
        ({"ids": lambda lines: [*lines, "x.1"]}, {}, "DOCUMENT_IDS.tsv has 61"),
        ({"ids": lambda lines: ["x.1"] * 60}, {}, "ood_path"),
        ({}, {"target": "lt"}, "newstest2019-ref.lit.txt"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, made, options, said):
    with pytest.raises(InputError, match=said):
        translation(**{"seed": 0, "path": ntrex(tmp_path, **made), **options})


def hub(monkeypatch, configs, rows):
    datasets = pytest.importorskip("datasets")

    asked = []
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: configs)

    def load_dataset(name, config, *, split):
        asked.append((name, config, split))
        return rows

    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_the_hub_shapes(tmp_path, monkeypatch):
    """A `translation` column as opus-100 and wmt19 document it; src and tgt as samanantar does."""
    ood = ntrex(tmp_path)
    pairs = [{"translation": {"en": f"text {i}", "de": f"Text {i}", "lt": None}} for i in range(20)]
    asked = hub(monkeypatch, ["de-en", "en-lt"], pairs)
    task = translation(seed=0, path="Helsinki-NLP/opus-100", ood_path=ood)
    assert asked == [("Helsinki-NLP/opus-100", "de-en", "train")]
    assert {(e.input, e.output) for e in task.pool} <= {(f"text {i}", f"Text {i}") for i in range(20)}
    with pytest.raises(InputError, match="'translation'"):
        translation(seed=0, path="Helsinki-NLP/opus-100", target="lt", ood_path=ood)
    with pytest.raises(InputError, match=r"en-ta.*de-en, en-lt"):
        translation(seed=0, path="Helsinki-NLP/opus-100", target="ta", ood_path=ood)
    sides = [{"idx": i, "src": f"text {i}", "tgt": f"Text {i}"} for i in range(20)]
    asked = hub(monkeypatch, ["de"], sides)
    task = translation(seed=0, path="owner/pairs", ood_path=ood)
    back = translation(seed=0, path="owner/pairs", source="de", target="en", ood_path=ood)
    assert asked == [("owner/pairs", "de", "train")] * 2
    assert task.pool[0].output.startswith("Text") and back.pool[0].output.startswith("text")


@real
@pytest.mark.parametrize("target", ["de", "lt"])
def test_the_real_files(target):
    task = translation(seed=0, path=str(DATA), target=target)
    assert task.facts["rows_read"] == 1997 and task.facts["rows_set_aside"] == 0
    assert (len(task.pool), len(task.id_test), len(task.ood_test), len(task.ood_pool)) == (1000, 300, 84, 336)
    sets = (task.pool, task.id_test, task.ood_test, task.ood_pool)
    keys = [normalise(e.input) for part in sets for e in part]
    assert len(keys) == len(set(keys))
    groups = [{e.group for e in part} for part in sets]
    assert not (groups[0] | groups[1]) & (groups[2] | groups[3]) and len(groups[2] | groups[3]) == 26
    assert np.allclose(task.score([e.output for e in task.ood_test], task.ood_test), 1)
    assert not any("\r" in e.output or "\r" in e.input for e in task.pool)
    again, other = (translation(seed=s, path=str(DATA), target=target) for s in (0, 1))
    assert task.pool == again.pool != other.pool and task.id_test == other.id_test
    targets = [t for t in task.id_test if any(task.relevant(t, e) for e in task.pool)]
    assert len(targets) > 200
    rng = np.random.default_rng(0)
    for t in targets[:50]:
        relevant = [e for e in task.pool if task.relevant(t, e)][:2]
        changed, follows = task.change_labels(t, relevant, [], rng)
        goal = Example(t.input, follows, t.group, t.extra)
        assert follows != t.output and changed != relevant
        assert task.score([follows, t.output], [goal, goal]).tolist() == [1, 0]


def test_words_of_tamil_and_hindi_stay_whole():
    assert word_set("இந்த மாதம் நல்லது.") == {"இந்த", "மாதம்", "நல்லது"}
    assert word_set("हिन्दी में, कि?") == {"हिन्दी", "में", "कि"}
    assert word_set("Don't 42 über_Maß") == {"don", "t", "über", "maß"}


def test_the_glossary_worked_by_hand():
    rows = [
        Example("the bridge falls", "die Brücke fällt"),
        Example("an old bridge", "eine alte Brücke"),
        Example("old houses", "alte Häuser"),
        Example("the houses burn", "die Häuser brennen"),
        Example("a storm", "ein Sturm"),
    ]
    assert glossary(rows) == {"bridge": "brücke", "houses": "häuser"}  # storm is there once, old is too short
    pairs = [e.extra["pairs"] for e in with_pairs(rows, glossary(rows))]
    assert pairs == ["bridge=brücke", "bridge=brücke", "houses=häuser", "houses=häuser", ""]


def test_following_a_changed_word_worked_by_hand():
    target = Example("a new bridge", "eine neue Brücke", "", {"pairs": "bridge=brücke house=haus"})
    like_it = Example("the bridge", "Die Brücke", "", {"pairs": "bridge=brücke"})
    other = Example("a house", "ein Haus", "", {"pairs": "house=haus"})
    rng = np.random.default_rng(0)
    changed, follows = change_word(target, [like_it], [other], rng, invented=["zorvax"])
    assert changed[0].output == "Die Zorvax" and follows == "eine neue Zorvax"
    goal = Example(target.input, follows, "", target.extra)
    answers = ["Eine neue zorvax.", "Die Zorvax", "eine neue Brücke", "", "zorvaxen"]
    score = make_translation_score(TRANSLATION_METRICS["chrf"])
    assert score(answers, [goal] * 5).tolist() == [1, 1, 0, 0, 0]
    mixed = score(["eine neue Brücke", "eine neue Brücke"], [target, goal])
    assert mixed.tolist() == pytest.approx([1, 0])
    for near, words in ((Example("x", "y", "", {"pairs": ""}), list(INVENTED)), (like_it, [])):
        with pytest.raises(InputError):
            change_word(target, [near], [], rng, invented=words)


def test_changed_words_by_hand():
    rows = [
        Example(
            "x", "Die Brücke, (brücke) und\xa0Brücke Brückenbau", "", {"pairs": "bridge=brücke build=bau"}
        ),
        Example("y", "brücke", "", {"pairs": ""}),
    ]
    assert changed_words(rows, ["zorvax"]) == ["(zorvax)", "Zorvax,", "und\xa0Zorvax"]


@real
def test_the_tiny_base_can_write_every_expected_answer():
    pytest.importorskip("torch")
    from ccutils.evaluation.responder import check_written
    from ccutils.models.tiny import word_tokenizer

    task = translation(seed=0, path=str(DATA), n_test=60)
    items = make_questions(task, 4, seed=0, n_targets=60)
    assert sum(item.kind == CHANGED for item in items.questions) > 50
    check_written(word_tokenizer(task, 4000), items, "tiny")


def test_put_replaces_whole_words_alone():
    assert (
        put_word("Brücke, brückenkopf und brücke.", "brücke", "zorvax") == "Zorvax, brückenkopf und zorvax."
    )
    assert put_word("கி கிழமை", "கி", "zorvax") == "zorvax கிழமை"


def ntrex(folder: Path, n: int = 60, german=lambda lines: lines, ids=lambda lines: lines) -> str:
    """Made-up lines in NTREX's layout, with its CRLF endings."""
    english = [f"sentence {i} about thing{i % 7}" for i in range(n)]
    for name, lines in (
        ("newstest2019-src.eng.txt", english),
        ("newstest2019-ref.deu.txt", german([f"Satz {i} über ding{i % 7}" for i in range(n)])),
        ("DOCUMENT_IDS.tsv", ids([f"outlet{i // 20}.{i // 5}" for i in range(n)])),
    ):
        (folder / name).write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return str(folder)
