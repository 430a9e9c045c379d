"""What is passed on tells neither folders of this machine nor secrets, and nothing else is touched."""

from pathlib import Path
from string import ascii_lowercase

import pytest

from ccutils.private import CHECKOUT, folders_in, hide_private, in_all_texts


def test_known_folders_get_their_word_the_deeper_one_first(tmp_path: Path) -> None:
    public = hide_private({"/data/ours": "data", "/data/ours/run o'clock": "run"})
    assert (
        public("/data/ours/run o'clock/x.csv, /data/ours/y, /data/oursome")
        == "run/x.csv, data/y, /data/oursome"
    )


def test_any_path_that_exists_is_left_with_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    text = f'3 rows: {tmp_path}/rows.jsonl, line 3; File "{tmp_path}/rows.jsonl", {tmp_path}/new.txt.'
    assert hide_private({})(text) == '3 rows: …/rows.jsonl, line 3; File "…/rows.jsonl", …/new.txt.'


@pytest.mark.parametrize(
    "text",
    [
        "https://arxiv.org/abs/2604.01601",
        "<b>a</b><i>b</i>",
        "steps/second and/or 3/4/5",
        "/no-such-folder/at/all",
        "../results/try and results/cpu/report.html",
        "",
    ],
)
def test_what_is_no_path_here_stays(text: str) -> None:
    assert hide_private({})(text) == text


def test_home_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/quite-a-name")
    monkeypatch.setenv("HF_TOKEN", "correct-horse-battery")
    monkeypatch.setenv("MY_API_KEY", "short")
    public = hide_private({})
    assert public("/home/quite-a-name/gone/x correct-horse-battery short") == "~/gone/x *** short"
    assert public(f"token hf_{ascii_lowercase}.") == "token ***."  # put together: no token stands in a file


def test_folders_among_parameters_are_found_and_those_of_the_repository_stay_readable() -> None:
    values = {
        "results": str(CHECKOUT / "results/cpu"),
        "task_options": {"path": "/clinic/patients.csv"},
        "k": 3,
    }
    known = folders_in(values, root="..")
    assert known == {str(CHECKOUT): "..", "/clinic/patients.csv": "patients.csv"}
    changed = in_all_texts({"source": [f"results = '{CHECKOUT}/results/cpu'", 3]}, hide_private(known))
    assert changed == {"source": ["results = '../results/cpu'", 3]}
