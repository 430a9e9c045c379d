"""Rows for a trainer of one's own: those of notebook 03, new in every epoch, the same at every asking."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from ccutils.contexts import FORMATS, ContrastiveContexts, read_examples
from ccutils.errors import InputError

if TYPE_CHECKING:
    from ccutils.training.prepare import PreparedRun

ROWS = [{"ask": f"{what} in {where}", "label": what.upper(), "note": "x"} for what in ("rain", "food", "news")
        for where in ("Oslo", "Lima", "Accra", "Quito")]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> "PreparedRun":
    """What notebook 03 trains on."""
    small = pytest.importorskip("small", reason="needs torch")
    prepared: PreparedRun = small.make_prepared(tmp_path_factory.mktemp("results"), paraphraser="rules")
    return prepared


def same_as(prepared: "PreparedRun", examples: Any) -> ContrastiveContexts:
    """The run's contexts by the way of somebody else's trainer."""
    return ContrastiveContexts(examples, k=3, epsilon=0.3, template=prepared.task.template)


def made(rows: Any = ROWS, **changes: Any) -> ContrastiveContexts:
    values = {"k": 2, "input_column": "ask", "output_column": "label", **changes}
    return ContrastiveContexts(rows, **values)


def test_tokens_are_those_of_notebook_03(prepared: "PreparedRun") -> None:
    n = len(prepared.task.pool)
    dicts = [{"input": e.input, "output": e.output} for e in prepared.task.pool]
    window = prepared.prompts.prompter.window
    data = same_as(prepared, dicts).dataset(prepared.tokenizer, epochs=2, window=window)
    assert data.to_dict() == prepared.prompts.tokens(range(2 * n))


def test_texts_are_those_of_notebook_03(prepared: "PreparedRun") -> None:
    texts = list(same_as(prepared, prepared.task.pool).rows(epochs=2))
    for place in range(0, len(texts), 11):
        target, demonstrations, _ = prepared.prompts.contexts([place])[0]
        assert texts[place]["prompt"] == prepared.prompts.prompter.text(demonstrations, target)
        assert texts[place]["completion"] == f" {target.output}"


def test_dicts_a_frame_and_a_dataset_give_the_same_rows() -> None:
    datasets = pytest.importorskip("datasets")
    wanted = list(made().rows())
    assert list(made(pd.DataFrame(ROWS)).rows()) == wanted
    assert list(made(datasets.Dataset.from_list(ROWS)).rows()) == wanted


def test_every_epoch_has_each_target_once_with_new_contexts() -> None:
    rows = list(made().rows(epochs=2))
    n = len(ROWS)
    last = [[row["prompt"].rsplit("Input: ", 1)[1] for row in part] for part in (rows[:n], rows[n:])]
    assert sorted(last[0]) == sorted(last[1]) and last[0] != last[1]
    assert len({row["prompt"] for row in rows}) > 1.5 * n


def test_rows_go_on_from_any_place() -> None:
    assert list(made().rows(epochs=3, start=17)) == list(made().rows(epochs=3))[17:]
    assert list(made(seed=1).rows()) != list(made().rows())


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_with_the_answer_alone(form: str) -> None:
    plain, row = next(made().rows()), next(made().rows(form=form))
    answer = plain["completion"].strip()
    last = row.get("completion") or row.get("messages") or row.get("conversations") or row["output"]
    if not isinstance(last, str):
        last = last[-1].get("content") or last[-1].get("value")
    assert last.strip() == answer
    if form in ("messages", "sharegpt"):
        turns = next(iter(row.values()))
        assert len(turns) == 2  # the demonstrations' answers are no turns, which a trainer would learn
    if form == "chat":
        assert [m["role"] for m in row["prompt"]] == ["user", "assistant"] * 2 + ["user"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_column": "text"}, "row 0 .* no column 'text': it has ask, label, note"),
        ({"rows": [{"ask": "a", "label": 3}] * 4}, "row 0 .* 3 in column 'label'"),
        ({"rows": ["a text"]}, "row 0 .* a mapping"),
        ({"k": 40}, "k is 40"),
        ({"similarity": "cosine"}, "similarity 'cosine'"),
        ({"paraphraser": "some"}, "paraphraser 'some'"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(**changes)


def test_a_frame_that_names_a_column_twice_and_half_a_character_are_refused() -> None:
    twice = pd.DataFrame([["a", "b", "c"]], columns=["input", "input", "output"])
    with pytest.raises(InputError, match="the frame names column 'input' twice"):
        read_examples(twice, "input", "output")
    with pytest.raises(InputError, match="row 0 of the examples, column 'input': text that is not UTF-8"):
        read_examples([{"input": "a\ud83d", "output": "A"}], "input", "output")


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean sharegpt"):
        next(made().rows(form="sharegtp"))


@pytest.mark.parametrize("tokenised", [False, True])
def test_trl_trains_on_it_as_it_is(prepared: "PreparedRun", tmp_path: Path, tokenised: bool) -> None:
    """Only answers are learnt: the trainer's own labels leave out all else."""
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    examples = same_as(prepared, prepared.task.pool)
    tokens = prepared.tokenizer if tokenised else None
    data = examples.dataset(tokens, epochs=1, window=128 if tokenised else 0)
    arguments = SFTConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4, use_cpu=True, report_to="none",
        bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(prepared.path)
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=prepared.tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    learnt = prepared.tokenizer.decode(batch["labels"][0][batch["labels"][0] != -100])
    outputs = {e.output for e in prepared.task.pool}
    assert learnt.replace(prepared.tokenizer.eos_token, "").strip() in outputs
    assert trainer.train().training_loss > 0
