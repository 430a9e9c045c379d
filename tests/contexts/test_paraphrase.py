"""Paraphrases keep what the label needs, come from where they say, and are made once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.contexts import paraphrase as module
from ccutils.contexts.paraphrase import Paraphraser, choose_paraphraser, paraphrase, paraphrase_pool
from ccutils.contexts.paraphrase_rules import keeps, needed, rewrite
from ccutils.errors import InputError
from ccutils.tasks.base import Example, Task
from ccutils.tasks.mtop import mtop

DATA = Path(__file__).parents[3] / "shared" / "data" / "mtop_en"
CALL = Example("Call Ann Lee at the office.", "[IN:CREATE_CALL [SL:CONTACT Ann Lee ] ]")
SHOW = Example("show me the available ones", "[IN:GET_AVAILABILITY ]")
word = st.sampled_from(
    ["the", "show", "me", "What", "is", "Ann", "7pm", "largest", "city,", "please", "कि", "?", "a-b"]
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_half_a_character_is_cached_and_read_again(tmp_path: Path):
    example = Example("rain \ud83d in town", "weather")
    made, again = (paraphrase([example], Paraphraser("none"), tmp_path) for _ in range(2))
    assert made == again and again.texts == {example.input: (example.input,)}


def test_what_a_label_needs_worked_by_hand():
    assert needed(CALL.input, CALL.output) == ["ann lee"]
    sql = "SELECT * FROM city WHERE state = 'new york' AND n > 5000"
    assert needed("New York: which city has over 5,000?", sql) == ["new york", "city", "5,000"]
    assert needed("Ann and Lee met", "[SL:X Ann ] [SL:Y Lee ]") == ["ann", "lee"]  # not side by side
    assert needed("in 2018!", "no digits") == ["2018"]
    assert keeps("the office: Ann Lee?", ["ann lee"]) and not keeps("Lee Ann", ["ann lee"])
    assert not keeps("Annabel Leeds", ["ann"])


@given(st.lists(word, max_size=12), st.lists(word, max_size=6), st.floats(0, 1), st.integers(0, 99))
def test_rules_keep_the_label_whatever_the_strength(words, label, strength, seed):
    text, output = " ".join(words), " ".join(label)
    for language in ("en", "de", "xx"):
        for frames in (True, False):
            new = rewrite(
                text,
                output,
                strength=strength,
                language=language,
                rng=np.random.default_rng(seed),
                frames=frames,
            )
            assert keeps(new, needed(text, output))


def test_strength_goes_from_identity_to_strong():
    text = "Show me what is the largest number of people in the old town."
    assert rewrite(text, "", strength=0.0, language="en", rng=rng()) == text

    def changed(strength: float) -> float:
        made = (
            rewrite(text, "", strength=strength, language="en", rng=np.random.default_rng(s))
            for s in range(30)
        )
        return float(np.mean([len(set(m.split()) ^ set(text.split())) for m in made]))

    amounts = [changed(s) for s in (0.0, 0.2, 0.5, 0.75, 1.0)]
    assert amounts == sorted(amounts) and len(set(amounts)) == 5


def test_rules_by_hand():
    assert rewrite("Give me the time.", "", strength=0.5, language="xx", rng=rng()) == "Give me the time"
    assert (
        rewrite("the biggest one", "", strength=0.5, language="en", rng=rng(), frames=False) == "largest one"
    )
    assert rewrite("Which one", "", strength=0.5, language="en", rng=rng(), frames=False) == "What one"
    assert (
        rewrite("the biggest one", "biggest", strength=0.5, language="en", rng=rng(), frames=False)
        == "biggest one"
    )
    assert rewrite("மழை வருமா?", "", strength=1.0, language="ta", rng=rng()) == "தயவுசெய்து மழை வருமா"
    assert rewrite("", "", strength=1.0, language="en", rng=rng(), frames=False) == ""


def test_rules_are_cached_and_reused(tmp_path, monkeypatch):
    made = paraphrase([CALL, SHOW, CALL], Paraphraser(), tmp_path)
    assert set(made.texts) == {CALL.input, SHOW.input} and made.shares() == {"rules": 1.0}
    assert all("Ann Lee" in text and text != CALL.input for text in made.texts[CALL.input])
    assert made.pick(CALL, rng()) in made.texts[CALL.input]
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(module, "make_rows", lambda *_: pytest.fail("made again"))
    assert paraphrase([CALL, SHOW, CALL], Paraphraser(), tmp_path) == made


def test_none_and_no_strength_give_the_input_itself(tmp_path):
    for how in (Paraphraser("none"), Paraphraser(strength=0.0)):
        made = paraphrase([CALL], how, tmp_path)
        assert made.texts == {CALL.input: (CALL.input,)} and made.shares() == {"none": 1.0}


def test_a_file_is_used_where_it_keeps_the_label(tmp_path):
    rows = [
        {"input": CALL.input, "paraphrases": ["Ring Ann Lee at work.", "Ring Lee at work.", CALL.input]},
        {"input": "unknown", "paraphrase": "?"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    made = paraphrase([CALL, SHOW], Paraphraser("file", source=str(path)), tmp_path / "cache")
    assert made.texts[CALL.input] == ("Ring Ann Lee at work.",)  # one loses a name, one is the input
    assert made.kinds == {CALL.input: "file", SHOW.input: "rules"}
    assert made.shares() == {"file": 0.5, "rules": 0.5}
    path.write_text(json.dumps({"input": SHOW.input, "paraphrase": "which are free"}))
    made = paraphrase([CALL, SHOW], Paraphraser("file", source=str(path)), tmp_path / "cache")
    assert made.texts[SHOW.input] == ("which are free",)  # a changed file is read again


def test_a_cache_serves_as_a_file(tmp_path):
    first = paraphrase([CALL, SHOW], Paraphraser(), tmp_path)
    (path,) = tmp_path.iterdir()
    again = paraphrase([CALL, SHOW], Paraphraser("file", source=str(path)), tmp_path / "other")
    assert again.texts == first.texts and again.shares() == {"file": 1.0}


def test_the_tasks_own(tmp_path):
    made = paraphrase(
        [SHOW], Paraphraser("task", variants=2), tmp_path, own=lambda e, strength, r: e.input.upper()
    )
    assert made.texts[SHOW.input] == (SHOW.input.upper(),) * 2 and made.kinds[SHOW.input] == "task"


def test_noise_takes_words_of_other_inputs_and_as_many_as_its_strength_says(tmp_path):
    pool = [Example("a b c d", "X"), Example("e f g h", "Y"), Example("i j k l", "Z")]
    made = paraphrase(pool, Paraphraser("noise", strength=0.5, variants=4, seed=3), tmp_path)
    for e in pool:
        for text in made.texts[e.input]:
            pairs = list(zip(text.split(), e.input.split(), strict=True))
            assert sum(a == b for a, b in pairs) >= 2
            assert set(text.split()) <= set("abcdefghijkl")
    assert sum(t != e.input for e in pool for t in made.texts[e.input]) > 8
    assert set(made.kinds.values()) == {"noise"}


def made_of(pool: list[Example], **changes: Any) -> Task:
    return Task(
        "t", pool, [], [], [], lambda a, e: np.ones(1), lambda *_: ([], ""), lambda t, e: True, **changes
    )


def test_a_task_without_its_own_has_rules_in_its_language_and_at_the_strength_given(tmp_path):
    pool = [Example("Gib mir die Zeit in Ulm.", "ulm"), Example("Tell me the time in Ulm.", "ulm")]

    def texts(task: Task, kind: str, strength: float) -> list[set[str]]:
        return [
            set(t)
            for t in paraphrase_pool(
                task, choose_paraphraser(task, kind=kind, strength=strength), tmp_path
            ).texts.values()
        ]

    english, german, bare = made_of(pool), made_of(pool, language="de"), made_of(pool, frames=False)
    for kind in ("auto", "rules"):
        assert texts(english, kind, 0.0) == [{e.input} for e in pool]
        assert all("time in Ulm" in text for text in texts(english, kind, 0.5)[1])
        assert any("tmie" in text for text in texts(english, kind, 1.0)[1])  # misspelt
        assert texts(bare, kind, 0.5) == [
            {"Gib mir die Zeit in Ulm"},
            {"Say time in Ulm"},
        ]
        said, other = texts(german, kind, 0.5)
        assert all("zeig mir Zeit in Ulm" in text or "Zeig mir Zeit in Ulm" in text for text in said)
        assert all("bitte" in text or text.startswith("also ") for text in said | other)
    shout = made_of(pool, paraphrase=lambda e, strength, rng: e.input.upper())
    assert texts(shout, "auto", 0.0) == [{e.input.upper()} for e in pool]
    assert texts(shout, "rules", 0.5) == texts(english, "rules", 0.5)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"variants": 0}, "variants"),
        ({"kind": "file", "source": "/nowhere.jsonl"}, "nowhere.jsonl"),
        ({"kind": "model", "source": "/nowhere"}, "write_paraphrases"),
        ({"kind": "task"}, "'task'"),
    ],
)
def test_sources_that_cannot_be_used_are_refused(tmp_path, options, name):
    with pytest.raises(InputError, match=name):
        paraphrase([CALL], Paraphraser(**options), tmp_path)


def test_a_broken_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"input": "a", "paraphrase": "b"}\n{"input": "c", "paraphrase": 3}\n')
    with pytest.raises(InputError, match=r"x\.jsonl, line 2"):
        paraphrase([CALL], Paraphraser("file", source=str(path)), tmp_path)


@pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
def test_real_requests(tmp_path):
    """Every paraphrase of MTOP keeps every slot's words; all but a few inputs have one."""
    task = mtop(seed=0, path=str(DATA), pool_size=500)
    made = paraphrase(task.pool, Paraphraser(), tmp_path)
    assert made.shares()["rules"] > 0.95
    for e in task.pool:
        phrases = needed(e.input, e.output)
        assert all(keeps(text, phrases) for text in made.texts[e.input])
    assert paraphrase_pool(task, choose_paraphraser(task), tmp_path).texts == made.texts
