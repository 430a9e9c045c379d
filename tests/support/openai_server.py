"""A small server of the OpenAI kind for tests: slow, busy, cutting answers off, or dying in the middle."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Trouble = Callable[[int, BaseHTTPRequestHandler], bool]
"""(number of the request, its handler) -> whether it was dealt with; else it is answered as usual."""


@dataclass
class Served:
    """The server's address and what it was asked: bodies, keys, and the most requests open at once.

    `models` is what /models reports and can be changed while the server runs.
    """

    url: str = ""
    models: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_open: int = 0
    now_open: int = 0


def reply(handler: BaseHTTPRequestHandler, status: int, value: Any, **headers: str) -> None:
    """Send JSON."""
    data = json.dumps(value).encode()
    handler.send_response(status)
    for name, text in headers.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def serve(
    answer: Callable[[str], str], trouble: Trouble = lambda n, handler: False, finish: str = "stop"
) -> Iterator[Served]:
    """Serve completions and chat: `answer` gets the prompt's text, or the last message's."""
    served, lock = Served(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

        def do_GET(self) -> None:
            reply(self, 200, {"data": served.models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(served.bodies)
                served.bodies.append(body)
                served.paths.append(self.path)
                served.keys.append(self.headers.get("Authorization"))
                served.now_open += 1
                served.most_open = max(served.most_open, served.now_open)
            try:
                replied = trouble(number, self)
            finally:  # before the reply, after which the next request may be there at once
                with lock:
                    served.now_open -= 1
            if not replied:
                self.usual(body)

        def usual(self, body: dict[str, Any]) -> None:
            if self.path == "/v1/completions":
                reply(self, 200, {"choices": [{"text": answer(body["prompt"]), "finish_reason": finish}]})
            else:
                text = answer(body["messages"][-1]["content"])
                message = {"role": "assistant", "content": text}
                reply(self, 200, {"choices": [{"message": message, "finish_reason": finish}]})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
