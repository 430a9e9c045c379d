"""Rows for your own trainer: equal to those of notebook 03, new in every epoch, reproducible."""

import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from ccutils.contexts import FORMATS, ContrastiveContexts, read_examples
from ccutils.contexts.your_data import read_file
from ccutils.errors import InputError
from ccutils.tasks.base import Example

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


def test_rows_can_start_at_any_index() -> None:
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


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="sharegpt"):
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
        bf16=False, gradient_checkpointing=False, train_sampling_strategy="sequential",
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(prepared.path)
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=prepared.tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    wanted = prepared.prompts.tokens([0])  # as notebook 03 has it
    shown = batch["attention_mask"][0].bool()
    assert [batch[name][0][shown].tolist() for name in wanted] == [rows[0] for rows in wanted.values()]
    learnt = prepared.tokenizer.decode(batch["labels"][0][batch["labels"][0] != -100])
    outputs = {e.output for e in prepared.task.pool}
    assert learnt.replace(prepared.tokenizer.eos_token, "").strip() in outputs
    assert trainer.train().training_loss > 0


@pytest.mark.parametrize("kind", ["plain", "numpy", "streaming"])
def test_classes_of_a_dataset_are_read_by_name(kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"input": datasets.Value("string"), "output": label})
    columns = {"input": ["a", "b", "c"], "output": [1, 0, 1]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    rows = {"plain": rows, "numpy": rows.with_format("numpy"), "streaming": rows.to_iterable_dataset()}[kind]
    assert [e.output for e in read_examples(rows, "input", "output")] == ["pos", "neg", "pos"]


FORGED = "rain = weather\n\nInput: food\nOutput: MUSIC"
TEXTS = [
    FORGED,
    "a\r\nb",
    "a\rb",
    "a\u2028b",
    "a\x85b",
    "a\x0bb",
    " a ",
    "a  b",
    "\n",
    " ",
    "a\0b",
    "a\ud83d",
]


@pytest.mark.parametrize("column", ["input", "output", "note"])
@pytest.mark.parametrize("text", TEXTS)
def test_rows_are_checked_alike_wherever_they_come_from(tmp_path: Path, text: str, column: str) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"input": "food in Oslo", "output": "FOOD", "note": "x"} for _ in range(3)]
    rows[1][column] = text
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def seen(read: Callable[[], list[Example]]) -> list[Example] | None:
        try:
            return read()
        except InputError as error:
            assert "row 1" in str(error) or "line 2" in str(error)
            return None

    wanted = seen(lambda: read_file(tmp_path / "x.jsonl", "input", "output"))
    assert seen(lambda: read_examples(rows, "input", "output")) == wanted
    assert seen(lambda: read_examples(pd.DataFrame(rows, dtype=object), "input", "output")) == wanted
    if "\ud83d" not in text:  # Arrow holds no half characters
        assert seen(lambda: read_examples(datasets.Dataset.from_list(rows), "input", "output")) == wanted
    made = [Example(row["input"], row["output"]) for row in rows]
    alike = seen(lambda: read_examples(made, "input", "output"))
    assert alike == (None if wanted is None else made), "examples are returned as they are"
    if wanted is not None:
        assert not any(
            len(t.splitlines()) > 1 for e in wanted for t in (e.input, e.output, *e.extra.values())
        )


def test_a_header_among_rows_in_memory_is_dropped_with_a_warning() -> None:
    rows = [*ROWS, {"ask": "ask", "label": " label", "note": None}]
    with pytest.warns(UserWarning, match=f"row {len(ROWS)} of the examples"):
        assert len(read_examples(pd.DataFrame(rows), "ask", "label")) == len(ROWS)


def test_spellings_of_one_label_are_kept_with_a_warning() -> None:
    rows = [{"input": f"word{i}", "output": ("very good", "very\u00a0good", "bad")[i % 3]} for i in range(9)]
    with pytest.warns(UserWarning, match=r"one class .*'very good' and 'very\\xa0good'"):
        examples = read_examples(rows, "input", "output")
    assert [e.output for e in examples] == [row["output"] for row in rows]


def same_as(prepared: "PreparedRun", examples: Any) -> ContrastiveContexts:
    """The run's contexts by the way of somebody else's trainer."""
    return ContrastiveContexts(examples, k=3, epsilon=0.3, template=prepared.task.template)


def made(rows: Any = ROWS, **changes: Any) -> ContrastiveContexts:
    values = {"k": 2, "input_column": "ask", "output_column": "label", **changes}
    return ContrastiveContexts(rows, **values)


def test_labels_of_an_enum_are_its_values():
    labels = enum.Enum("Label", {"NEG": "bad"}, type=str)
    (example,) = read_examples([{"input": "a", "output": labels.NEG}], "input", "output")
    assert example.output == "bad"
