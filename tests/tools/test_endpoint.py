"""A server's answers come in order, and are kept through all that a server can do wrong."""

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from openai_server import reply, serve

from ccutils.errors import InputError
from ccutils.tools.endpoint import Endpoint, EndpointError

PROMPTS = [f"question {i}" for i in range(12)]
WANTED = [f"ANSWER {i}" for i in range(12)]


def shout(prompt: str) -> str:
    return f" {prompt.replace('question', 'answer').upper()}\nmore"


def ask(url: str, path: Path, **changes: object) -> list[str]:
    values = {"concurrent": 3, "retries": 2, "timeout": 5.0, **changes}
    return Endpoint(url, "m", **values).answers(PROMPTS, max_new_tokens=8, path=path).texts  # type: ignore[arg-type]


def test_answers_are_in_order_and_never_asked_twice(tmp_path: Path) -> None:
    with serve(shout) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert len(served.bodies) == 12
    assert served.bodies[0]["temperature"] == 0 and served.bodies[0]["max_tokens"] == 8


def test_no_more_requests_are_open_than_allowed(tmp_path: Path) -> None:
    def slow(number: int, handler: BaseHTTPRequestHandler) -> bool:
        time.sleep(0.03)
        return False

    with serve(shout, slow) as served:
        ask(served.url, tmp_path / "a.jsonl")
    assert served.most_open == 3


def test_chat_sends_messages(tmp_path: Path) -> None:
    with serve(shout) as served:
        asked = [{"role": "user", "content": "question 7"}]
        found = Endpoint(served.url, "m", "chat").answers(
            [asked], max_new_tokens=8, path=tmp_path / "a.jsonl"
        )
    assert found.texts == ["ANSWER 7"]
    assert served.bodies[0]["messages"] == asked


def test_a_busy_server_is_asked_again_after_the_time_it_names(tmp_path: Path) -> None:
    def busy(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 0:
            reply(handler, 429, {"error": "slow down"}, Retry_After="1")
        return number == 0

    start = time.monotonic()
    with serve(shout, busy) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert time.monotonic() - start >= 1
    assert len(served.bodies) == 13


def test_a_reply_cut_off_on_its_way_is_asked_for_again(tmp_path: Path) -> None:
    def cut(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 4:
            handler.send_response(200)
            handler.send_header("Content-Length", "500")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            handler.close_connection = True
        return number == 4

    with serve(shout, cut) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED


@pytest.mark.parametrize(("answer", "cut"), [(str.upper, 12), (shout, 0)])
def test_an_answer_cut_off_in_its_first_line_is_counted(
    tmp_path: Path, answer: Callable[[str], str], cut: int
) -> None:
    with serve(answer, finish="length") as served:
        found = Endpoint(served.url, "m").answers(PROMPTS, max_new_tokens=8, path=tmp_path / "a.jsonl")
    assert found.cut == cut


def test_a_slow_server_gives_up_in_one_sentence(tmp_path: Path) -> None:
    def slow(number: int, handler: BaseHTTPRequestHandler) -> bool:
        time.sleep(0.5)
        return True

    with (
        serve(shout, slow) as served,
        pytest.raises(EndpointError, match=r"stopped answering \(ReadTimeoutError, after 0 tries"),
    ):
        ask(served.url, tmp_path / "a.jsonl", timeout=0.1, retries=0)


def test_a_server_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def dies(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number >= 5:
            handler.connection.shutdown(socket.SHUT_RDWR)
        return number >= 5

    with (
        serve(shout, dies) as served,
        pytest.raises(EndpointError, match=r"answers are kept: the same command"),
    ):
        ask(served.url, path, retries=0, concurrent=1)
    kept = path.read_text().strip().splitlines()
    assert len(kept) == 5
    path.write_text(path.read_text()[:-3])  # this side was killed, too, in the middle of a line
    with serve(shout) as served:
        assert ask(served.url, path) == WANTED
    assert len(served.bodies) == 8


def test_answers_on_their_way_when_another_is_refused_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def refuses(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 2:
            reply(handler, 400, {"error": "exceeds the available context size"})
        else:
            time.sleep(0.2)
        return number == 2

    with (
        serve(shout, refuses) as served,
        pytest.raises(InputError, match=r"context size.* of 12 answers are"),
    ):
        ask(served.url, path)
    assert len(path.read_text().splitlines()) == len(served.bodies) - 1 >= 2


def test_nobody_listening_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(EndpointError, match="cannot be reached"):
        ask(f"http://127.0.0.1:{port}/v1", tmp_path / "a.jsonl", retries=6)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "wants a key .*CCUTILS_API_KEY"), (404, "status 404 .*check --model and --api")],
)
def test_what_asking_again_cannot_mend_is_bad_input(tmp_path: Path, status: int, said: str) -> None:
    def refuses(number: int, handler: BaseHTTPRequestHandler) -> bool:
        reply(handler, status, {"error": "no"})
        return True

    with serve(shout, refuses) as served, pytest.raises(InputError, match=said):
        ask(served.url, tmp_path / "a.jsonl")


def test_the_key_is_sent_and_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCUTILS_API_KEY", "very-secret")
    with serve(shout) as served:
        ask(served.url, tmp_path / "a.jsonl")
    assert set(served.keys) == {"Bearer very-secret"}
    assert "secret" not in (tmp_path / "a.jsonl").read_text()


@pytest.mark.parametrize(
    "changes", [{"url": "localhost"}, {"api": "talk"}, {"concurrent": 0}, {"timeout": 0}]
)
def test_values_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Endpoint(**{"url": "http://x/v1", "model": "m", **changes})  # type: ignore[arg-type]
