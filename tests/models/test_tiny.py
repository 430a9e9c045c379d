"""The tiny base: its recipe and cache, its tokenizer, the material and the episodes it is trained on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import RECIPE
from transformers import AutoModelForCausalLM, AutoTokenizer

from ccutils.errors import InputError
from ccutils.models.tiny import (
    DESCRIPTION,
    EOS,
    PAD,
    UNK,
    bundle,
    find_bundled,
    main,
    make_recipe,
    prepare_tiny,
    step,
    tiny_base,
    word_tokenizer,
)
from ccutils.models.tiny_episodes import episodes, material_of, repeats
from ccutils.tasks import Example, Task, Template, load_task

SMALL = {"n_test": 20, "pool_size": 200}


@pytest.fixture(scope="module", params=["topics", "gloss"])
def task(request) -> Task:
    return load_task(request.param, seed=0, **SMALL)


@pytest.fixture(scope="module")
def base(task, tmp_path_factory) -> Path:
    return tiny_base(task, tmp_path_factory.mktemp("cache"), make_recipe(RECIPE))


def made_of(pool: list[Example]) -> Task:
    return Task("t", pool, [], [], [], lambda a, e: np.ones(1), lambda *_: ([], ""), lambda t, e: True)


def test_every_seed_has_its_own_recipe():
    assert make_recipe({}) == make_recipe({"layers": 2})
    assert make_recipe({"width": 128, "learning_rate": 1}).width == 128
    assert make_recipe({}, 5).seed == 5 and make_recipe({"seed": 1}, 5).seed == 1


class TestCache:
    def test_it_is_an_ordinary_model_directory(self, task, base):
        model = AutoModelForCausalLM.from_pretrained(base, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(base)
        assert model.config.model_type == "llama"
        assert model.config.vocab_size == len(tokenizer)
        assert model.config.max_position_embeddings == RECIPE["window"]
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert not [path for path in base.parent.iterdir() if path.suffix == ".part"]
        e = task.pool[0]
        assert tokenizer.decode(tokenizer(e.output)["input_ids"]) == e.output

    def test_a_seed_of_the_task_is_not_one_of_the_base_and_it_is_made_once(self, task, base):
        weights = base / "model.safetensors"
        before = weights.stat().st_mtime_ns
        again = tiny_base(load_task(task.name, seed=7, **SMALL), base.parent, make_recipe(RECIPE))
        assert again == base
        assert weights.stat().st_mtime_ns == before

    def test_what_the_base_is_made_of_tells_one_from_another(self, task, base):
        recipe = make_recipe(RECIPE)
        shorter = {"topics": {"input_words": 2}, "gloss": {"sentence_words": 2}}[task.name]
        others = [
            tiny_base(task, base.parent, make_recipe({**RECIPE, "seed": 1})),
            tiny_base(replace(task, vocabulary=["newword"]), base.parent, recipe),
            tiny_base(replace(task, template=Template("{input} =", "{output}")), base.parent, recipe),
            tiny_base(load_task(task.name, seed=0, **SMALL, **shorter), base.parent, recipe),
        ]
        assert len({base, *others}) == 5

    def test_what_was_cut_off_is_made_anew(self, task, base, tmp_path):
        part = tmp_path / f".{base.name}.part"
        part.mkdir()
        (part / "config.json").write_text("{")
        made = tiny_base(task, tmp_path, make_recipe(RECIPE))
        assert json.loads((made / "config.json").read_text())["hidden_size"] == RECIPE["width"]
        assert not part.exists()


class TestBundled:
    @pytest.fixture(scope="class")
    def bundled(self, base, tmp_path_factory) -> Path:
        """A folder that bundles the base."""
        return bundle(base, "topics", 0, tmp_path_factory.mktemp("bases")).parent

    @pytest.fixture(scope="class")
    def task(self) -> Task:
        return load_task("topics", seed=0, **SMALL)

    @pytest.fixture(scope="class")
    def base(self, task, tmp_path_factory) -> Path:
        return tiny_base(task, tmp_path_factory.mktemp("cache"), make_recipe(RECIPE))

    def test_a_bundled_base_is_bitwise_the_trained_one_in_half_the_bytes(self, task, base, bundled, tmp_path):
        found = tiny_base(task, tmp_path, make_recipe(RECIPE), bundled)
        assert (found / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
        made = [json.loads((folder / DESCRIPTION).read_text())["made"] for folder in (base, found)]
        assert made == ["trained", "kept"]
        size = (bundled / "topics-0.safetensors").stat().st_size
        assert size < 0.6 * (base / "model.safetensors").stat().st_size

    def test_one_parameter_retrains_it(self, task, base, bundled, tmp_path):
        again = tiny_base(task, tmp_path, make_recipe({**RECIPE, "kept": False}), bundled)
        assert json.loads((again / DESCRIPTION).read_text())["made"] == "trained"
        assert (again / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()

    def test_only_the_same_recipe_and_seed_are_used_and_damage_is_refused(self, task, bundled, tmp_path):
        name = prepare_tiny(task, make_recipe(RECIPE))[2]
        assert find_bundled("topics", 0, name, bundled) is not None
        assert find_bundled("topics", 0, "another", bundled) is None
        assert find_bundled("topics", 4, name, bundled) is None
        for path in bundled.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes() + b" " * (path.suffix != ".json"))
        with pytest.raises(InputError, match=r"topics-0\.safetensors"):
            find_bundled("topics", 0, name, tmp_path)

    def test_the_command_needs_seeds(self):
        assert main(["topics"]) == 2


class TestTokenizer:
    def test_every_word_of_the_task_is_known_whatever_the_seed(self, task):
        tokenizer = word_tokenizer(task, 4000)
        other = load_task(task.name, seed=5, **SMALL)
        for e in [*task.pool, *task.ood_pool, *task.id_test, *other.ood_test, *other.pool]:
            text = f"{e.input} = {e.output}\n"
            ids = tokenizer(text)["input_ids"]
            assert len(ids) == len(text.split()) + 1
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids).split() == text.split()

    def test_labels_are_kept_before_common_words(self):
        pool = [Example("the the the rare word", "LABEL ONE"), Example("the word", "LABEL TWO")]
        task = made_of(pool)
        tokenizer = word_tokenizer(task, 8)
        assert {PAD, EOS, UNK, "LABEL", "ONE", "TWO", "Input:", "Output:", "\n", "the"} <= set(
            tokenizer.get_vocab()
        )
        assert tokenizer("rare")["input_ids"] == [tokenizer.unk_token_id]

    def test_the_words_of_test_answers_are_known(self):
        task = replace(
            made_of([Example("a", "YES")]), id_test=[Example("a", "NO")], ood_test=[Example("b", "OH")]
        )
        assert {"YES", "NO", "OH"} <= set(word_tokenizer(task, 1).get_vocab())

    def test_two_words_never_melt_into_one(self):
        pool = [Example("what's up, tom?", "[IN:ASK tom ]")]
        task = made_of(pool)
        tokenizer = word_tokenizer(task, 100)
        words = tokenizer.convert_ids_to_tokens(tokenizer("what's up, tom?\n[IN:ASK tom ]")["input_ids"])
        assert words == ["what", "'", "s", "up", ",", "tom", "?", "\n", "[", "IN:ASK", "tom", "]"]


class TestMaterial:
    def test_it_holds_no_labelled_example(self, task):
        """Only which words, labels and lengths there are: shuffling the labels changes nothing."""
        tokenizer = word_tokenizer(task, 4000)
        found = material_of(task, tokenizer)
        if task.name == "gloss":
            assert found.interlinear
            return
        labels = [e.output for e in task.pool]
        np.random.default_rng(0).shuffle(labels)
        other = replace(task, pool=[replace(e, output=o) for e, o in zip(task.pool, labels, strict=True)])
        again = material_of(other, tokenizer)
        assert not found.interlinear
        assert np.array_equal(found.inputs, again.inputs)
        assert all(map(np.array_equal, found.answers, again.answers))

    def test_the_template_around_an_input(self, task):
        template = Template("{hint}Q {input} A", " {output}", "\n", "Do {it}.\n")
        pool = [replace(e, extra={"hint": "h"}) for e in task.pool]
        task = replace(task, template=template, pool=pool)
        tokenizer = word_tokenizer(task, 4000)
        material = material_of(task, tokenizer)
        assert [tokenizer.decode(part).split() for part in (material.start, material.before)] == [
            ["Do", "{it}."],
            ["Q"],
        ]
        assert tokenizer.decode(material.after) == "A"

    def test_a_template_without_the_input(self, task):
        with pytest.raises(InputError, match=r"\{input\}"):
            word_tokenizer(replace(task, template=Template("Q", " {output}")), 4000)


class TestEpisodes:
    K, BATCH = 4, 16

    def parts(self, task, seed=0):
        """Tokenizer and an episode batch: texts of the slots, [row][slot]."""
        tokenizer = word_tokenizer(task, 4000)
        rng = np.random.default_rng(seed)
        tokens, judged = episodes(material_of(task, tokenizer), self.K, self.BATCH, rng)
        lines = [tokenizer.decode(row).strip("\n").split("\n") for row in tokens]
        return tokenizer, tokens, judged, lines

    def test_every_slot_is_a_prompt_of_the_template(self, task):
        _, tokens, judged, lines = self.parts(task)
        assert tokens.shape == judged.shape
        assert len(tokens) == self.BATCH
        for row in lines:
            assert len(row) == self.K + 1
            assert all(line.count(" = ") == 1 for line in row)

    def test_the_loss_is_on_answers_and_their_ends(self, task):
        tokenizer, tokens, judged, lines = self.parts(task)
        for row, where, slots in zip(tokens, judged, lines, strict=True):
            answers = "\n".join(line.split(" = ")[1].strip() for line in slots)
            assert tokenizer.decode(row[where]).split() == answers.split()
            assert (row[where] == tokenizer.convert_tokens_to_ids("\n")).sum() == self.K + 1

    def test_the_last_label_is_in_the_context(self):
        """So that an episode of topics can be told from its context."""
        topics = load_task("topics", seed=0, **SMALL)
        for seed in range(5):
            for row in self.parts(topics, seed)[3]:
                assert row[-1].split(" = ")[1] in {line.split(" = ")[1] for line in row[:-1]}

    def test_glosses_are_of_one_lexicon_in_an_episode(self):
        task = load_task("gloss", seed=0, **SMALL)
        known = {w: g for e in task.pool for w, g in [e.output.split()[:2]]}
        differs = 0
        for row in self.parts(task)[3]:
            pairs = [line.split(" = ")[1].split() for line in row]
            lexicon = [(w, g) for answer in pairs for w, g in zip(answer[::2], answer[1::2], strict=True)]
            drawn = dict(lexicon)
            assert sum(drawn[w] != g for w, g in lexicon) <= 2 * len(lexicon) // 5, (
                "a word drawn twice at most"
            )
            differs += sum(known.get(w, g) != g for w, g in drawn.items())
        assert differs > 0, "the world of an episode is not the task's"

    def test_worlds_differ_between_episodes(self):
        task = load_task("topics", seed=0, **SMALL)
        firsts = [row[0].split(" = ")[1] for row in self.parts(task)[3]]
        assert len(set(firsts)) > self.BATCH / 2

    def test_repeats(self):
        among = np.array([5, 9, 20, 31])
        tokens = repeats(among, 8, np.random.default_rng(0))
        half = tokens.shape[1] // 2
        assert 8 <= half < 24
        assert np.array_equal(tokens[:, :half], tokens[:, half:])
        assert set(tokens.ravel()) == set(among)


class TestStep:
    def test_loss_against_full_logits(self, base):
        """What `step` reports is the mean over judged tokens; with `among`, of a softmax over those alone."""
        model = AutoModelForCausalLM.from_pretrained(base)
        rng = np.random.default_rng(0)
        among = np.sort(rng.choice(np.arange(3, model.config.vocab_size), 20, replace=False))
        tokens = rng.choice(among, (3, 9))
        judged = rng.random((3, 9)) < 0.5
        logits = model(torch.from_numpy(tokens)).logits[:, :-1].log_softmax(-1).detach().numpy()
        next_token = tokens[:, 1:, None]
        chosen = np.take_along_axis(logits, next_token, 2)[..., 0][judged[:, 1:]]
        still = torch.optim.SGD(model.parameters(), lr=0.0)
        assert step(model, still, tokens, judged) == pytest.approx(-chosen.mean(), rel=1e-4)
        some = logits[..., among]
        some = some - np.log(np.exp(some).sum(-1, keepdims=True))
        places = np.searchsorted(among, next_token)
        chosen = np.take_along_axis(some, places, 2)[..., 0][judged[:, 1:]]
        assert step(model, still, tokens, judged, among=among) == pytest.approx(-chosen.mean(), rel=1e-4)

    def test_it_learns(self, base):
        model = AutoModelForCausalLM.from_pretrained(base)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        tokens = repeats(np.arange(3, 40), 4, np.random.default_rng(0))
        losses = [step(model, optimiser, tokens, np.ones(tokens.shape, bool)) for _ in range(30)]
        assert losses[-1] < 0.7 * losses[0]
