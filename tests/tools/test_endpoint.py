"""A server's answers come in order, and are kept through all that a server can do wrong."""

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from openai_server import reply, serve

from ccutils.errors import InputError
from ccutils.tools import endpoint
from ccutils.tools.endpoint import Endpoint, EndpointAnswers, EndpointError, proxy_of

PROMPTS = [f"question {i}" for i in range(12)]
WANTED = [f"ANSWER {i}" for i in range(12)]


def shout(prompt: str) -> str:
    return f" {prompt.replace('question', 'answer').upper()}\nmore"


def test_answers_are_in_order_and_never_asked_twice(tmp_path: Path) -> None:
    with serve(shout) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert len(served.bodies) == 12
    assert served.bodies[0]["temperature"] == 0 and served.bodies[0]["max_tokens"] == 8


def test_only_new_prompts_are_asked_and_equal_ones_once(tmp_path: Path) -> None:
    with serve(shout) as served:
        endpoint, path = Endpoint(served.url, "m"), tmp_path / "a.jsonl"
        first = endpoint.answers(PROMPTS[:4] * 2, 8, path)
        assert first.texts == WANTED[:4] * 2 and (first.reused, first.reused_from) == (0, None)
        again = endpoint.answers(PROMPTS[::-1], 8, path)
        assert again.texts == WANTED[::-1] and again.reused == 4
    assert sorted(body["prompt"] for body in served.bodies) == sorted(PROMPTS)


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
        pytest.raises(EndpointError, match=r"stopped answering \(ReadTimeoutError"),
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
        pytest.raises(EndpointError, match=r"5 of 12 answers are saved"),
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
        pytest.raises(InputError, match=r"context size.* of 12 answers are saved"),
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
    [(401, "needs a key .*CCUTILS_API_KEY"), (404, "status 404 .*check --model and --api")],
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
    "changes",
    [
        *(
            {"url": url}
            for url in ("localhost", "http://", "http://[::1", "http://host:99999/v1", "ftp://x/v1")
        ),
        *({"timeout": value} for value in (0, -1, float("nan"), float("inf"), 1e12)),
        {"api": "talk"},
        {"model": "\udcff"},
        {"concurrent": 0},
        {"retries": -1},
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Endpoint(**{"url": "http://x/v1", "model": "m", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://me:secret@x/v1", "http://x/v1?key=secret"])
def test_an_address_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InputError) as refused:
        Endpoint(url, "m")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "sent"), [(" good\n", "good"), ("\r\ngood\t", "good"), ("two words", "two words")]
)
def test_white_space_around_a_key_is_stripped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, sent: str
) -> None:
    monkeypatch.setenv("CCUTILS_API_KEY", key)
    with serve(shout) as served:
        ask(served.url, tmp_path / "a.jsonl")
    assert set(served.keys) == {f"Bearer {sent}"}


@pytest.mark.parametrize(
    "key", ["sec\nret", "sec\rret", "sec\x7fret", "secr\u00e9t", "\u0441\u0435\u043a", "sec\x01ret"]
)
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serve(shout) as served, pytest.raises(InputError, match="OPENAI_API_KEY") as refused:
        ask(served.url, tmp_path / "a.jsonl")
    assert key not in str(refused.value) and "sec" not in str(refused.value)


def test_a_key_that_the_server_repeats_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCUTILS_API_KEY", "very-secret")

    def refuses(number: int, handler: BaseHTTPRequestHandler) -> bool:
        reply(handler, 400, {"error": "bad key very-secret"})
        return True

    with serve(shout, refuses) as served, pytest.raises(InputError) as refused:
        ask(served.url, tmp_path / "a.jsonl")
    assert "secret" not in str(refused.value)


def completion(text: object, **more: object) -> dict[str, object]:
    return {"choices": [{"text": text, **more}]}


@pytest.mark.parametrize(
    "first",
    [
        completion(None, finish_reason="stop"),
        completion("", finish_reason="stop"),
        completion(" \n ", finish_reason="stop"),
        completion("half of an ans", finish_reason="content_filter"),
        {"choices": [{"message": None, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": None, "refusal": "I cannot"}, "finish_reason": "stop"}]},
    ],
)
def test_refused_filtered_and_empty_answers_are_unanswered_also_when_run_again(
    tmp_path: Path, first: dict[str, object]
) -> None:
    with serve(shout, replies(first)) as served:
        for _ in range(2):
            found = ask_all(served.url, tmp_path / "a.jsonl")
            assert (found.unanswered, found.cut) == (1, 0)
            assert found.texts.count("") == 1 and set(found.texts) < {"", *WANTED}
    assert len(served.bodies) == 12


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "content_filter"),
        (400, "content_policy_violation"),
        (400, "data_inspection_failed"),
        (403, "your input was flagged"),
    ],
)
def test_a_prompt_that_the_server_filters_is_unanswered(tmp_path: Path, status: int, code: str) -> None:
    def filters(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 0:
            reply(handler, status, {"error": {"code": code, "message": "The response was filtered"}})
        return number == 0

    with serve(shout, filters) as served:
        assert ask_all(served.url, tmp_path / "a.jsonl").unanswered == 1


@pytest.mark.parametrize("broken", [{}, {"error": "upstream"}, {"choices": [None]}, None, []])
def test_one_malformed_reply_is_asked_for_again(tmp_path: Path, broken: object) -> None:
    with serve(shout, replies(broken)) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert len(served.bodies) == 13
    with serve(shout, replies(broken, usual=False)) as served, pytest.raises(InputError, match="status 200"):
        ask(served.url, tmp_path / "b.jsonl")


@pytest.mark.parametrize("usage", ["x", {"prompt_tokens": "3"}, {"prompt_tokens": True}, [], None])
def test_a_usage_that_cannot_be_read_counts_for_nothing(tmp_path: Path, usage: object) -> None:
    with serve(shout, replies({**completion("ANSWER 0"), "usage": usage})) as served:
        found = ask_all(served.url, tmp_path / "a.jsonl", concurrent=1)
    assert found.texts == WANTED and found.shortened == 0


@pytest.mark.parametrize("empty", [{"choices": []}, {"choices": None}])
def test_a_reply_without_choices_is_asked_for_again(tmp_path: Path, empty: dict[str, object]) -> None:
    with serve(shout, replies(empty)) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert len(served.bodies) == 13
    with serve(shout, replies(empty, usual=False)) as served:
        assert ask_all(served.url, tmp_path / "b.jsonl").unanswered == 12


def test_parts_of_text_are_joined_and_thoughts_left_out(tmp_path: Path) -> None:
    parts = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "an"},
        {"type": "text", "text": "swer"},
    ]
    with serve(shout, replies({"choices": [{"message": {"content": parts}}]}, usual=False)) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == ["answer"] * 12


def test_a_thought_that_is_not_closed_counts_as_cut_off(tmp_path: Path) -> None:
    with serve(lambda prompt: "<think>It asks for", finish="length") as served:
        found = ask_all(served.url, tmp_path / "a.jsonl")
    assert (found.cut, found.unanswered) == (12, 12)


@pytest.mark.parametrize("status", [408, 409, 500, 501, 520, 524, 529, 599])
def test_statuses_that_pass_are_tried_again(tmp_path: Path, status: int) -> None:
    def busy(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 0:
            reply(handler, status, {"error": "busy"})
        return number == 0

    with serve(shout, busy) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED


@pytest.mark.parametrize("status", [503, 529])
def test_a_server_that_stays_busy_gives_up(tmp_path: Path, status: int) -> None:
    def busy(number: int, handler: BaseHTTPRequestHandler) -> bool:
        reply(handler, status, {"error": "busy"})
        return True

    with serve(shout, busy) as served, pytest.raises(EndpointError, match=str(status)):
        ask(served.url, tmp_path / "a.jsonl", retries=0)


@pytest.mark.parametrize(("asked", "said"), [("3600", "3600 s"), ("soon", ""), ("-1", ""), ("1.5", "")])
def test_a_long_wait_that_the_server_asks_for_is_capped_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: str, said: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)

    def busy(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number == 0:
            reply(handler, 429, {"error": "slow down"}, Retry_After=asked)
        return number == 0

    with serve(shout, busy) as served:
        assert ask(served.url, tmp_path / "a.jsonl") == WANTED
    assert max(waits, default=0) <= endpoint.LONGEST_WAIT == 120 and (120 in waits) == bool(said)
    assert said in capsys.readouterr().err


OPENAI = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."


@pytest.mark.parametrize(
    ("status", "refusals", "accepted", "notes"),
    [
        (400, {"max_tokens": OPENAI}, {"max_completion_tokens": 8, "temperature": 0}, 0),
        (
            400,
            {
                "max_tokens": OPENAI,
                "temperature": "Unsupported value: 'temperature' does not support 0 with this model.",
            },
            {"max_completion_tokens": 8},
            1,
        ),
        (422, {"temperature": "`temperature` must be strictly positive"}, {"max_tokens": 8}, 1),
        (400, {"temperature": "invalid temperature: only 1 is allowed for this model"}, {"max_tokens": 8}, 1),
        (400, {"temperature": "Parameter Temperature isn't supported"}, {"max_tokens": 8}, 1),
        (422, {"max_tokens": "extra_forbidden: body, max_tokens"}, {"temperature": 0}, 1),
    ],
)
def test_parameters_that_a_model_refuses_are_renamed_or_left_out(
    tmp_path: Path, status: int, refusals: dict[str, str], accepted: dict[str, int], notes: int
) -> None:
    def refuses(number: int, handler: BaseHTTPRequestHandler) -> bool:
        for name, said in refusals.items():
            if name in served.bodies[number]:
                reply(handler, status, {"error": {"message": said}})
                return True
        return False

    with serve(shout, refuses) as served:
        found = ask_all(served.url, tmp_path / "a.jsonl", concurrent=2)
    assert found.texts == WANTED
    sent = {key: value for key, value in served.bodies[-1].items() if key not in ("model", "prompt")}
    assert sent == accepted and len(served.bodies) <= 12 + 2 * len(refusals)
    assert len(found.notes) == notes


def test_a_prompt_that_does_not_fit_is_no_refusal_of_the_parameter(tmp_path: Path) -> None:
    def refuses(number: int, handler: BaseHTTPRequestHandler) -> bool:
        said = "'max_tokens' or 'max_completion_tokens' is too large: 64. The maximum context length is 32."
        reply(handler, 400, {"error": {"message": said}})
        return True

    with serve(shout, refuses) as served, pytest.raises(InputError, match="too large"):
        ask(served.url, tmp_path / "a.jsonl", concurrent=1)
    assert all(body["max_tokens"] == 8 for body in served.bodies)


def test_a_proxy_of_the_environment_is_used_and_its_exceptions_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if handler.path == "http://server.invalid/v1/completions":  # a proxy is sent the whole address
            reply(handler, 200, completion("by proxy"))
            return True
        return False

    with serve(shout, forward) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "")
        assert ask("http://server.invalid/v1", tmp_path / "a.jsonl") == ["by proxy"] * 12
        with serve(shout) as served:
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert ask(served.url, tmp_path / "b.jsonl") == WANTED


@pytest.mark.parametrize(
    ("url", "none", "found"),
    [
        ("http://a.example/v1", "", "http://plain:1"),
        ("https://a.example/v1", "", "http://secure:2"),
        ("https://a.example/v1", "example", None),
        ("https://a.example:8000/v1", "a.example:8000", None),
        ("http://[::1]:8000/v1", "::1", None),
        ("http://a.example/v1", "*", None),
        ("http://10.1.2.3/v1", "b.example, 10.0.0.0/8", None),
        ("http://[fd00::1]/v1", "fd00::/8", None),
        ("http://11.1.2.3/v1", "10.0.0.0/8", "http://plain:1"),
        ("http://a.example/v1", "b.example", "http://plain:1"),
    ],
)
def test_which_proxy_an_address_has(
    monkeypatch: pytest.MonkeyPatch, url: str, none: str, found: str | None
) -> None:
    monkeypatch.setenv("http_proxy", "plain:1")
    monkeypatch.setenv("https_proxy", "http://secure:2")
    monkeypatch.setenv("no_proxy", none)
    assert proxy_of(url) == found


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "socks5://me:secret@127.0.0.1:9")
    with pytest.raises(InputError, match="proxy") as refused:
        ask("http://server.invalid/v1", tmp_path / "a.jsonl")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("ending", ["", "/", "/v1/completions", "/v1/chat/completions"])
def test_the_address_that_was_meant_is_suggested(tmp_path: Path, ending: str) -> None:
    def unknown(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if handler.path not in ("/v1/completions", "/v1/chat/completions"):
            reply(handler, 404, {"detail": "Not Found"})
            return True
        return False

    with serve(shout, unknown) as served:
        wrong = served.url.removesuffix("/v1") + ending
        with pytest.raises(InputError, match=rf"--endpoint {served.url}\?"):
            ask(wrong, tmp_path / "a.jsonl")


@pytest.mark.parametrize(("tokens", "n"), [(20, 12), (1000, 0), (0, 0), (None, 0)])
def test_prompts_that_the_server_shortened_are_counted(tmp_path: Path, tokens: int | None, n: int) -> None:
    body = {**completion("answer", finish_reason="stop"), "usage": {"prompt_tokens": tokens}}
    with serve(shout, replies(body, usual=False)) as served:
        found = Endpoint(served.url, "m").answers(["word " * 800] * 12, 8, tmp_path / "a.jsonl")
    assert found.shortened == n


def test_half_a_character_of_a_server_is_replaced_also_when_run_again(tmp_path: Path) -> None:
    with serve(lambda prompt: "smile \ud83d") as served:
        first, second = (ask(served.url, tmp_path / "a.jsonl") for _ in range(2))
    assert first == second == ["smile \ufffd"] * 12


def test_what_is_served_leaves_out_what_differs_between_requests() -> None:
    now = int(time.time())
    with serve(shout) as served:
        served.models = [
            {"id": "other"},
            {"id": "m", "created": now, "root": "a", "permission": [{"id": "x1"}]},
        ]
        found = Endpoint(served.url, "m").served()
        assert found == [{"id": "m", "root": "a"}]
        served.models[1]["created"] = 1
        assert Endpoint(served.url, "m").served() == [{"id": "m", "root": "a", "created": 1}]
        assert Endpoint(served.url, "any").served()[1]["id"] == "other"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def ask(url: str, path: Path, **changes: object) -> list[str]:
    return ask_all(url, path, **changes).texts


def ask_all(url: str, path: Path, **changes: object) -> EndpointAnswers:
    values = {"concurrent": 3, "retries": 2, "timeout": 5.0, **changes}
    return Endpoint(url, "m", **values).answers(PROMPTS, max_new_tokens=8, path=path)  # type: ignore[arg-type]


def replies(*values: object, usual: bool = True) -> Callable[[int, BaseHTTPRequestHandler], bool]:
    """The first requests get these bodies; later ones are answered as usual, or get the last body."""

    def trouble(number: int, handler: BaseHTTPRequestHandler) -> bool:
        if number >= len(values) and usual:
            return False
        reply(handler, 200, values[min(number, len(values) - 1)])
        return True

    return trouble
