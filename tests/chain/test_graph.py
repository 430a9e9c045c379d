"""Data files as Snakemake's inputs: single ones, folders, and paths with what it reads as patterns."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from stub_chain import make_chain

from ccutils.chain.graph import data_files, watchable

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_folder_with_braces_is_run_and_watched_as_a_single_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "a{b} {task}<c>'d"
    profile = make_chain(folder)
    (folder / "da{ta").mkdir()
    rows = folder / "da{ta" / "train.jsonl"
    for name in ("one", "two"):
        with closing(sqlite3.connect(rows.with_name(f"{name}.sqlite"))) as connection:
            connection.execute("CREATE TABLE t (x)")
    made = [
        {"question": f"how many {i}", "SQL": f"SELECT {i} FROM t", "db_id": ("one", "two")[i % 2]}
        for i in range(60)
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in made))
    given = yaml.safe_load(profile.read_text())
    given["tasks"] = {"text_to_sql": {"task_options": {"path": str(rows.parent)}}}
    profile.write_text(yaml.safe_dump(given))
    done = run(profile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7/7" in done.stdout
    assert "Nothing to do" in run(profile, "--dry-run").stdout
    with rows.open("a") as file:
        file.write(json.dumps(made[0]) + "\n")
    changed = run(profile, "--dry-run").stdout
    assert all(
        f"{rule} " in changed for rule in ("start", "contexts", "ic_train_0_1", "probes_0_1", "figures")
    )
    assert "minimal_model " not in changed


def test_data_files_are_those_that_options_name(tmp_path: Path) -> None:
    for name in (
        "one.jsonl",
        "folder/b/x.sqlite",
        "folder/a.json",
        "folder/.hidden",
        "folder/.git/x",
        "else",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    options = {
        "path": str(tmp_path / "one.jsonl"),
        "databases": str(tmp_path / "folder"),
        "target": "de",
        "hub": "owner/name",
        "gone": str(tmp_path / "gone"),
        "n_test": 50,
    }
    found = [str(path.relative_to(tmp_path)) for path in data_files(options)]
    assert found == ["folder/a.json", "folder/b/x.sqlite", "one.jsonl"]


def test_the_home_folder_is_read_as_the_tasks_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.csv").touch()
    assert data_files({"path": "~/mine.csv"}) == [tmp_path / "mine.csv"]


def test_a_path_that_snakemake_would_misread_becomes_one_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert watchable(tmp_path / "plain, with ' and [x]*") == str(tmp_path / "plain, with ' and [x]*")
    target = tmp_path / "a{b}.csv"
    target.write_text("x")
    link = Path(watchable(target))
    assert link.suffix == ".csv" and link.read_text() == "x" and "{" not in str(link)
    first = os.lstat(link).st_mtime_ns
    assert watchable(target) == str(link)
    assert os.lstat(link).st_mtime_ns == first


def run(profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ccutils.chain.cli", "--profile", str(profile), "--cores", "2", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
