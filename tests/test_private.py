"""Folders of this machine and secrets are removed from what is passed on; nothing else is changed."""

from pathlib import Path
from string import ascii_lowercase

import pytest

from ccutils.private import hide_private


def test_a_path_that_exists_is_shortened_to_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    text = f'3 rows: {tmp_path}/rows.jsonl, line 3; File "{tmp_path}/rows.jsonl", {tmp_path}/new.txt.'
    assert hide_private({"a": [text, 3]}) == {
        "a": ['3 rows: …/rows.jsonl, line 3; File "…/rows.jsonl", …/new.txt.', 3]
    }


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
def test_any_other_text_stays(text: str) -> None:
    assert hide_private(text) == text


def test_home_and_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/quite-a-name")
    monkeypatch.setenv("HF_TOKEN", "correct-horse-battery")
    monkeypatch.setenv("MY_API_KEY", "short")
    assert hide_private("/home/quite-a-name/gone/x correct-horse-battery short") == "…/x *** short"
    assert hide_private(f"token hf_{ascii_lowercase}.") == "token ***."  # put together: no token in a file
