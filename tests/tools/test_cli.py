"""The command line by its commands: what it writes, prints and exits with."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pandas as pd
import pytest
from openai_server import serve

import ccutils
from ccutils.contexts import ContrastiveContexts
from ccutils.errors import InputError
from ccutils.records import BASELINES
from ccutils.tools.cli import askings, commands, main


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


PLACES = ("Oslo", "Lima", "Accra", "Quito", "Paris", "Delhi", "Cairo", "Berlin", "Rome", "Bonn")
ROWS = [
    (f"where is {what} in {at}", what.upper()) for what in ("rain", "food", "news", "bed") for at in PLACES
]


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "data.csv"
    pd.DataFrame(ROWS, columns=["input", "output"]).to_csv(path, index=False)
    return str(path)


def test_export_writes_the_rows_of_the_library_and_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str
) -> None:
    out = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in out:
        assert run(monkeypatch, "export", data, "--k", "3", "--epochs", "2", "-o", str(path)) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    wanted = ContrastiveContexts([{"input": i, "output": o} for i, o in ROWS], k=3)
    assert [json.loads(line) for line in out[0].read_text().splitlines()] == list(wanted.rows(epochs=2))


def test_an_export_of_counterfactual_contexts_says_so_in_its_rows_and_on_the_screen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.jsonl"
    assert run(monkeypatch, "export", data, "--k", "3", "--counterfactual", "0.5", "-o", str(out)) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    wrong = sum(row["counterfactual"] for row in rows)
    assert 0 < wrong < len(rows) and f"counterfactual: {wrong} rows" in capsys.readouterr().out


def test_probe_tells_a_model_that_knows_from_one_that_copies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "probed"
    with serve(know) as served:
        options = ["--endpoint", served.url, "--k", "3", "-o", str(out)]
        assert run(monkeypatch, "probe", data, "--model", "knows", *options) == 0
    rows = pd.read_parquet(out / "probes.parquet").set_index(["set", "probe", "grade"])["value"]
    assert rows["id", "iwl", 0] == 1 and rows["id", "icl", 1] == 0
    printed = capsys.readouterr().out
    assert printed.startswith("knows: ") and f"{len(served.bodies)} requests" in printed.splitlines()[0]
    assert "IWL-score" in printed
    drawn = find_spec("altair") is not None  # it is no part of the core
    assert (out / "scores.svg").exists() == drawn and ("pip install altair" in printed) != drawn


def test_two_models_are_compared_target_by_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "probed"
    with serve(know) as served:
        options = ["--endpoint", served.url, "--k", "2", "--against", "b", "-o", str(out)]
        assert run(monkeypatch, "probe", data, "--model", "a", *options) == 0
    found = pd.read_parquet(out / "differences.parquet")
    assert (found["value"] == 0).all() and (found["n"] > 0).any()
    assert "a against b, ICL-score" in capsys.readouterr().out


def test_more_targets_and_kinds_ask_only_new_prompts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str
) -> None:
    with serve(know) as served:
        options = ["probe", data, "--model", "m", "--endpoint", served.url, "--k", "2", "-o", str(tmp_path)]
        assert run(monkeypatch, *options, "--kinds", "plain", "--targets", "2") == 0
        first = len(served.bodies)
        assert run(monkeypatch, *options) == 0
        prompts = [body["prompt"] for body in served.bodies]
    assert 0 < first < len(prompts) == len(set(prompts))


@pytest.mark.parametrize("installed", [True, False])
def test_baselines_without_a_model_are_printed_below_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data: str,
    capsys: pytest.CaptureFixture[str],
    installed: bool,
) -> None:
    if installed:
        pytest.importorskip("sklearn")
    else:
        for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"] + ["sklearn"]:
            monkeypatch.setitem(sys.modules, name, None)
    with serve(know) as served:
        options = ["--endpoint", served.url, "--k", "2", "--targets", "4", "-o", str(tmp_path)]
        assert run(monkeypatch, "probe", data, "--model", "m", *options) == 0
    printed = capsys.readouterr().out
    names = BASELINES if installed else BASELINES[:2]
    assert tuple(pd.read_parquet(tmp_path / "baselines.parquet")["model"].unique()) == names
    assert set(pd.read_parquet(tmp_path / "probes.parquet")["model"]) == {"m"}
    assert all(name in printed for name in names) and ("[tfidf]" in printed) != installed


def test_a_dry_run_asks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str) -> None:
    with serve(follow) as served:
        options = ["--endpoint", served.url, "--k", "2", "--dry-run", "-o", str(tmp_path / "p")]
        assert run(monkeypatch, "probe", data, "--model", "m", *options) == 0
    assert not served.bodies and not (tmp_path / "p").exists()


def test_export_follows_a_link_and_refuses_its_own_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    assert run(monkeypatch, "export", data, "--k", "3", "-o", str(link)) == 0
    assert link.is_symlink() and len(target.read_text().split("\n")) == 3 * len(ROWS) + 1
    before = Path(data).read_bytes()
    (tmp_path / "soft.csv").symlink_to(data)
    (tmp_path / "hard.csv").hardlink_to(data)
    for name in ("data.csv", "soft.csv", "hard.csv", "../" + tmp_path.name + "/data.csv"):
        assert run(monkeypatch, "export", data, "--k", "3", "-o", str(tmp_path / name)) == 2
        assert "data file itself" in capsys.readouterr().err
    assert Path(data).read_bytes() == before


def test_export_to_standard_output_prints_rows_alone(data: str) -> None:
    command = [sys.executable, "-m", "ccutils.tools.cli", "export", data, "--k", "3", "-o", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all("completion" in json.loads(line) for line in done.stdout.splitlines())


def test_probe_does_not_overwrite_its_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "probes.parquet"
    pd.DataFrame(ROWS, columns=["input", "output"]).to_parquet(path)
    options = ["--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "-o", str(tmp_path)]
    assert run(monkeypatch, "probe", str(path), *options) == 2
    assert "data file itself" in capsys.readouterr().err


def test_a_second_probe_by_default_leaves_the_rows_of_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with serve(know) as served:
        for more in (["--model", "a"], ["--model", "b"], ["--model", "a", "--seed", "1"]):
            assert run(monkeypatch, "probe", data, "--endpoint", served.url, "--k", "2", *more) == 0
        asked = len(served.bodies)
        options = ["--endpoint", served.url, "--k", "2", "--model", "a", "--concurrent", "2"]
        assert run(monkeypatch, "probe", data, *options) == 0
        assert len(served.bodies) == asked  # answers are shared
        assert run(monkeypatch, "probe", data, "--endpoint", f"{served.url}/", *options[2:]) == 0
        assert len(served.bodies) == asked
        before = {path: path.read_bytes() for path in Path("probed").glob("*/probes.parquet")}
        models = [pd.read_parquet(path)["model"][0] for path in before]
        assert sorted(models) == ["a", "a", "a", "b"]
        text = Path(data).read_text(encoding="utf-8")
        Path(data).write_text(text[: text.rindex("\n", 0, -1) + 1], encoding="utf-8")  # other data, same path
        assert run(monkeypatch, "probe", data, *options) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(list(Path("probed").glob("*/probes.parquet"))) == 5


def test_another_model_behind_the_same_name_is_asked_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["probe", data, "--model", "m", "--k", "2", "-o", str(tmp_path / "p")]
    with serve(know) as served:
        options += ["--endpoint", served.url]
        served.models = [{"id": "m", "root": "first"}]
        assert run(monkeypatch, *options) == 0
        n = len(served.bodies)
        assert "reused" not in capsys.readouterr().out
        assert run(monkeypatch, *options) == 0
        assert len(served.bodies) == n and f"{n} saved answers are reused" in capsys.readouterr().out
        served.models = [{"id": "m", "root": "second"}]
        assert run(monkeypatch, *options) == 0
        assert len(served.bodies) == 2 * n and "another model" in capsys.readouterr().out
        served.models = [{"id": "m", "root": "first"}]
        assert run(monkeypatch, *options) == 0
        assert len(served.bodies) == 2 * n
        assert run(monkeypatch, *options, "--ask-again") == 0
        assert len(served.bodies) == 3 * n
    assert run(monkeypatch, *options) == 0  # the server is gone, its answers are not
    assert "cannot be reached" in capsys.readouterr().out
    assert run(monkeypatch, *options, "--ask-again") == 3
    assert len(list((tmp_path / "p").glob("answers-*"))) == 3  # none was lost


def test_thoughts_and_fences_do_not_change_scores_and_unanswered_questions_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrapped(prompt: str) -> str:
        return "" if "Lima" in prompt[-30:] else f"<think>\nIt is\n</think>\n\n```\n{know(prompt)}\n```"

    with serve(wrapped) as served:
        options = ["--endpoint", served.url, "--k", "2", "--api", "chat", "-o", str(tmp_path)]
        assert run(monkeypatch, "probe", data, "--model", "m", *options) == 0
    rows = pd.read_parquet(tmp_path / "probes.parquet").set_index(["set", "probe", "grade"])
    assert rows["value"]["id", "iwl", 0] == 1
    assert rows["value"]["id", "unjudged", 0] > 0
    assert "were not answered" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["", "<think>without end", "**none**"])
def test_answers_that_cannot_be_scored_are_reported(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data: str,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    with serve(lambda prompt: answer) as served:
        options = ["--endpoint", served.url, "--k", "2", "-o", str(tmp_path)]
        assert run(monkeypatch, "probe", data, "--model", "m", *options) == 0
    printed = capsys.readouterr().out
    words = {"": ["not answered", "no answer can be scored"], "**none**": ["label of the task", "'**'"]}
    assert all(word in printed for word in words.get(answer, ["cut off", "not answered"]))


def test_two_checkpoints_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    one, other = (tmp_path / run / "seed-0" / "checkpoint-60" for run in ("a", "b"))
    for folder in (one, other):
        folder.mkdir(parents=True)
    values = {"endpoint": None, "api": "completions", "quantise": False, "ask_again": False}
    asked = askings("base", one, None, other, **values)  # type: ignore[arg-type]
    assert [asking.name for asking in asked] == [f"base+{run}/seed-0/checkpoint-60" for run in ("a", "b")]
    (tmp_path / "link").symlink_to(one)
    for same in (one, tmp_path / "link", one / ".." / "checkpoint-60"):
        with pytest.raises(InputError, match="the same model"):
            askings("base", one, "base", same, **values)  # type: ignore[arg-type]


def test_one_folder_by_two_names_is_one_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("base/", "./base", str(tmp_path / "base")):
        with pytest.raises(InputError, match="the same model"):
            askings("base", None, other, None, None, "chat", False)


def test_the_home_folder_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(monkeypatch, "export", "~/data.csv", "--k", "3", "--output=~/rows.jsonl") == 0
    assert (tmp_path / "rows.jsonl").is_file()
    (found,) = askings("~/base", None, None, None, None, "chat", False)
    assert found.model == str(tmp_path / "base")


def test_a_folder_of_another_user_is_refused_also_in_a_dry_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    options = ["--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "-o", str(tmp_path / "p"), "--dry-run"]
    assert run(monkeypatch, "probe", data, *options) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_data_set_of_the_hub_needs_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    options = ["--model", "m", "--endpoint", "http://127.0.0.1:9/v1"]
    assert run(monkeypatch, "probe", "folder/data", *options) == 2
    assert "pip install datasets" in capsys.readouterr().err


def test_neighbours_are_printed(
    monkeypatch: pytest.MonkeyPatch, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "neighbours", data, "news in Lima", "--k", "1") == 0
    header, found = capsys.readouterr().out.splitlines()
    assert header == "similarity\tinput\toutput"
    assert found.split("\t")[1:] == ["where is news in Lima", "NEWS"]


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{name} {option.opts[-1]}"
        for name, command in commands.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert not silent


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (["export", "none.csv", "-o", "x"], 2, "none.csv does not exist: check the path."),
        (["export", "dta.csv", "-o", "x"], 2, "dta.csv does not exist; did you mean data.csv?"),
        (["neighbours", "data.jsonl", "x"], 2, "data.jsonl does not exist; did you mean data.csv?"),
        (["neighbours", "DATA", "  "], 2, "TEXT is empty"),
        (["neighbours", "DATA", "x", "--input-column", "a"], 2, "--input-column"),
        (["probe", "DATA", "--model", "m", "--group-column", "a"], 2, "--group-column"),
        (["probe", "topcs", "--model", "m"], 2, "topics"),
        (["probe", "DATA", "--model", "m", "--max-new-tokens", "0"], 2, "--max-new-tokens"),
        (["export", "DATA", "--k", "3", "--epochs", "0", "-o", "x"], 2, "epochs"),
        (["export", "DATA", "--k", "90", "-o", "x"], 2, "k is 90"),
        (["export", "DATA", "--counterfactual", "2", "-o", "x"], 2, "counterfactual"),
        (["export", "DATA", "--output-column", "label", "-o", "x"], 2, "no column 'label'"),
        (["export", "DATA"], 2, "Missing option"),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "--k", "2"], 3, "reached"),
        (["probe", "DATA", "--model", "m", "--endpoint", "here", "--k", "2"], 2, "'here'"),
        (["export", "DATA", "--seed", "-1", "-o", "x"], 2, "--seed"),
        (["export", "DATA", "--seed", "9" * 30, "-o", "x"], 2, "--seed"),
        (["probe", "DATA", "--model", ""], 2, "--model"),
        (["probe", "DATA", "--model", "m", "--endpoint", ""], 2, "endpoint"),
        (
            ["probe", "DATA", "--model", "m", "--endpoint", "http://x", "--concurrent", "-3"],
            2,
            "--concurrent",
        ),
        (["export", "DATA", "--p", "nan", "-o", "x"], 2, "p is nan"),
        (["export", "DATA", "-o", "."], 2, "cannot be written"),
        (["export", "DATA", "-o", "data.csv/x"], 2, "cannot be written"),
        (["export", "DATA", "-o", "x" * 300], 2, "cannot be written"),
        (["export", "data", "-o", "x"], 2, ".jsonl"),
        (["probe", "DATA", "--model", "m", "--seed", "-1"], 2, "--seed"),
        (
            ["probe", "DATA", "--model", "m", "--endpoint", "http://x", "--timeout", "nan"],
            2,
            "timeout is nan",
        ),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://x", "-o", "DATA"], 2, "is a file"),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://x", "-o", "data.csv/x"], 2, "is a file"),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://x", "-o", "x" * 300], 2, "cannot be"),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://x", "--adapter", "."], 2, "--adapter"),
        (["probe", "DATA", "--model", "m", "--adapter", "none"], 2, "--adapter"),
    ],
)
def test_bad_input_and_servers_that_are_not_there_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, printed: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *[data if a == "DATA" else a for a in arguments]) == code
    error = capsys.readouterr().err
    assert printed in error and "Traceback" not in error


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert ccutils.__version__ in capsys.readouterr().out


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ccutils", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def follow(prompt: str) -> str:
    """A model that lives by its context: the label of the last demonstration."""
    return prompt.split("Output: ")[-1].split("\n")[0]


def know(prompt: str) -> str:
    """A model that knows the task and heeds nothing: the word itself."""
    return prompt.split("where is ")[-1].split()[0].upper()
