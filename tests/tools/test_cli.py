"""The command line by its commands: what it writes, prints and exits with."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pandas as pd
import pytest
from openai_server import serve

import ccutils
from ccutils.contexts import ContrastiveContexts
from ccutils.tools.cli import commands, main

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
    said = capsys.readouterr().out
    assert said.startswith("knows: ") and f"{len(served.bodies)} requests" in said.splitlines()[0]
    assert "IWL-score" in said
    drawn = find_spec("altair") is not None  # it is no part of the core
    assert (out / "scores.svg").exists() == drawn and ("no figure: it needs Altair" in said) != drawn


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


def test_a_dry_run_asks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str) -> None:
    with serve(follow) as served:
        options = ["--endpoint", served.url, "--k", "2", "--dry-run", "-o", str(tmp_path / "p")]
        assert run(monkeypatch, "probe", data, "--model", "m", *options) == 0
    assert not served.bodies and not (tmp_path / "p").exists()


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
    ("arguments", "code", "said"),
    [
        (["export", "none.csv", "-o", "x"], 2, "none.csv does not exist: check the path."),
        (["export", "dta.csv", "-o", "x"], 2, "dta.csv does not exist; did you mean data.csv?"),
        (["neighbours", "data.jsonl", "x"], 2, "data.jsonl does not exist; did you mean data.csv?"),
        (["neighbours", "DATA", "  "], 2, "TEXT is empty"),
        (
            ["neighbours", "DATA", "x", "--input-column", "a"],
            2,
            "input, output; name another by --input-column.",
        ),
        (["probe", "DATA", "--model", "m", "--group-column", "a"], 2, "name another by --group-column."),
        (["export", "DATA", "--k", "90", "-o", "x"], 2, "k is 90"),
        (["export", "DATA", "--counterfactual", "2", "-o", "x"], 2, "counterfactual"),
        (["export", "DATA", "--output-column", "label", "-o", "x"], 2, "no column 'label'"),
        (["export", "DATA"], 2, "Missing option"),
        (["probe", "DATA", "--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "--k", "2"], 3, "reached"),
        (["probe", "DATA", "--model", "m", "--endpoint", "here", "--k", "2"], 2, "no address"),
    ],
)
def test_bad_input_and_servers_that_are_not_there_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *[data if a == "DATA" else a for a in arguments]) == code
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


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
