"""Ask a model behind an OpenAI-compatible server: parallel requests, each answer saved as it arrives.

urllib3 handles timeouts and retries.
"""

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Lock
from typing import Any, TextIO
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import urllib3
from tqdm import tqdm
from urllib3.exceptions import HTTPError, InvalidHeader, ReadTimeoutError

from ccutils.errors import InputError, check_count
from ccutils.records import hash_prompt
from ccutils.tasks.files import unusable
from ccutils.tools.replies import Reply, is_shortened, parse_reply, read_replies

APIS = ("completions", "chat")
"""completions: the prompt as plain text, the format that IC-Train trains on; base models need it. chat:
demonstrations as turns, in the server's chat template. Every question can be asked with either."""
KEY_VARIABLES = ("CCUTILS_API_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set is used
BUSY = (408, 409, 425, 429, *range(500, 1000))  # statuses that are retried
LONGEST_WAIT = 120  # seconds before a retry, even if the server's Retry-After is longer
LONGEST_TIMEOUT = 86_400  # seconds
EMPTY_TRIES = 3  # requests for one answer, where replies have no choices or are malformed
LIMIT_NAMES = ("max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens")
"""Servers' names for the maximum number of tokens of an answer."""
UNSUPPORTED = re.compile(
    r"un(supported|known|recogni[sz]ed|expected)|not (be )?(support|permit|allow|accept)|n't support|extra"
    r"|forbidden|deprecated|removed|only",
    re.I,
)
REFUSED = re.compile(
    r"content_?(filter|policy)|ResponsibleAIPolicyViolation|data_inspection_failed|flagged|moderation", re.I
)
"""What servers write where a filter refuses a prompt."""
CHANGING = ("permission", "status", "pricing")  # fields of /models that can change for the same model

Asked = str | list[dict[str, str]]
"""A prompt: a text, or a list of messages with `role` and `content`."""


class EndpointError(Exception):
    """A server cannot be reached or gave up; answers so far are saved."""


@dataclass(frozen=True, slots=True)
class EndpointAnswers:
    """Answers in the order of the prompts, '' where a prompt was not answered.

    `cut`, `unanswered` and `shortened` count prompts: those whose answer ended at the token limit, those
    without an answer, those that the server shortened. `reused` counts saved answers, the last saved at
    `reused_from`. `notes` name refused parameters.
    """

    texts: list[str]
    cut: int
    unanswered: int
    shortened: int
    reused: int
    reused_from: datetime | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address, such as http://localhost:8000/v1, with the API, timeout and retries to use.

    At most `concurrent` requests are open at once. `timeout` is in seconds. A request is retried `retries`
    times, after 0.5 s, 1 s, 2 s and so on, or after the server's Retry-After (at most LONGEST_WAIT). Raises
    InputError for invalid values.
    """

    url: str
    model: str
    api: str = "completions"
    concurrent: int = 8
    timeout: float = 120.0
    retries: int = 6

    def __post_init__(self) -> None:
        try:
            parts = urllib3.util.parse_url(self.url)
        except HTTPError:
            parts = urllib3.util.Url()
        if parts.auth or parts.query:
            raise InputError(
                "the endpoint's address has a user name or a query: leave it out, and put the key into the "
                f"environment variable {KEY_VARIABLES[0]}."
            )
        if parts.scheme not in ("http", "https") or not parts.host:
            raise InputError(f"endpoint {self.url!r} is not an address such as http://localhost:8000/v1.")
        if self.api not in APIS:
            raise InputError(f"api {self.api!r} does not exist: choose one of {', '.join(APIS)}.")
        if fault := unusable(self.model):
            raise InputError(f"the model's name {self.model!r} is {fault}: check --model and --against.")
        check_count("concurrent", self.concurrent)
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise InputError(f"timeout is {self.timeout}: it must be above 0, at most {LONGEST_TIMEOUT} s.")
        if self.retries < 0:
            raise InputError(f"retries is {self.retries}: it must be at least 0.")

    def served(self) -> list[dict[str, Any]]:
        """Read this model's entry from /models; all entries if none has its name, [] if there are none.

        Many servers set `created` to the time of the request; it is dropped then. Raises EndpointError
        immediately if there is no server.
        """
        retry, now = self._retry().new(connect=0, read=0, other=0), time.time()
        try:
            with self._pool() as pool:
                got = self._request(pool, "GET", "models", "cannot be reached", retries=retry, timeout=10)
        except EndpointError as error:
            if isinstance(error.__cause__, ReadTimeoutError):
                return []  # it may be loading the model: questions have a longer timeout
            raise
        try:
            if date := got.headers.get("Date"):
                now = parsedate_to_datetime(date).timestamp()
            models = sorted(json.loads(got.data)["data"], key=lambda model: str(model["id"]))
            for model in models:
                if abs(now - (model.get("created") or 0)) < 60:
                    del model["created"]
            own = [model for model in models if model["id"] == self.model] or models
            return [{key: model[key] for key in model if key not in CHANGING} for model in own]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return []

    def answers(self, prompts: Sequence[Asked], max_new_tokens: int, path: Path) -> EndpointAnswers:
        """Ask the prompts without an answer in the file `path`, with greedy decoding; save each answer.

        Raises InputError if the server refuses the request (unknown model, no key), and EndpointError if it
        cannot be reached or gives up. The same call then continues from the saved answers.
        """
        known, keys = read_replies(path), list(map(hash_prompt, prompts))
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
        reused = len(set(keys)) - len(missing)
        when = datetime.fromtimestamp(path.stat().st_mtime) if reused else None
        parameters = Parameters({"max_tokens": max_new_tokens, "temperature": 0})
        if missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" * bool(file.tell()))  # an interruption may have cut the last line off
                self._ask_all(missing, parameters, file)
            known = read_replies(path)
        replies = [known[key] for key in keys]
        return EndpointAnswers(
            [reply.answer for reply in replies],
            cut=sum(reply.cut for reply in replies),
            unanswered=sum(not reply.answer for reply in replies),
            shortened=sum(map(is_shortened, prompts, replies)),
            reused=reused,
            reused_from=when,
            notes=parameters.notes,
        )

    def _ask_all(self, missing: Mapping[str, Asked], parameters: "Parameters", file: TextIO) -> None:
        """Append the missing answers to the file."""
        pool, workers = self._pool(), ThreadPoolExecutor(self.concurrent)
        lock, saved = Lock(), list[str]()

        def ask(key: str) -> None:
            line = self._ask(pool, missing[key], parameters).line(key)
            with lock:  # in the worker: open requests are saved even if another one fails
                file.write(line)
                file.flush()
                saved.append(key)

        try:
            self.served()
            answers = workers.map(ask, missing)  # an error cancels those that are not open yet
            list(tqdm(answers, total=len(missing), desc=self.model, mininterval=1))
        except (EndpointError, InputError) as error:
            workers.shutdown(cancel_futures=True)
            n = f" {len(saved)} of {len(missing)} answers are saved; the same command continues."
            raise type(error)(f"{error}{n if saved else ''}") from error
        finally:
            workers.shutdown(cancel_futures=True)
            pool.clear()

    def _ask(self, pool: urllib3.PoolManager, prompt: Asked, parameters: "Parameters") -> Reply:
        """Ask one prompt. A reply without choices is requested again, at most EMPTY_TRIES times."""
        # No "stop": some servers fail on it, and only the first line is used.
        text = isinstance(prompt, str)
        where, name = ("completions", "prompt") if text else ("chat/completions", "messages")
        reply, tries = None, 0
        while reply is None and tries < EMPTY_TRIES:
            sent = dict(parameters.values)
            body = {"model": self.model, name: prompt, **sent}
            got = self._request(pool, "POST", where, "stopped answering", json=body)
            if got.status not in (400, 422) or not parameters.adapt(sent, got.data.decode(errors="replace")):
                tries += 1
                reply = self._read(got, where, last=tries == EMPTY_TRIES)
        return reply or Reply(None)

    def _read(self, got: urllib3.BaseHTTPResponse, where: str, last: bool) -> Reply | None:
        """Parse a reply; None if it has no choices, or is malformed and not the `last`.

        Raises EndpointError if the server is busy, InputError for any other failure.
        """
        body = got.data.decode(errors="replace").strip()
        if got.status in (400, 403, 451) and REFUSED.search(body):
            return Reply(None, "content_filter")
        for key in headers().values():
            body = body.replace(key.removeprefix("Bearer "), "...")
        about = f"status {got.status} and {body[:120]!r}"
        if got.status in BUSY:
            wait = got.headers.get("Retry-After", "")[:40]
            raise EndpointError(
                f"endpoint {self.url} is busy or fails ({about}, after {self.retries} retries"
                f"{f'; Retry-After: {wait}' if wait else ''}): lower --concurrent, or check the server."
            )
        if got.status in (401, 403):
            raise InputError(
                f"endpoint {self.url} needs a key (status {got.status}): put it into the environment "
                f"variable {KEY_VARIABLES[0]}."
            )
        try:
            if got.status != 200:
                raise ValueError
            return parse_reply(json.loads(got.data))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if got.status == 200 and not last:
                return None
            base = re.sub(r"/(chat/)?completions/?$", "", self.url.rstrip("/"))
            base += "" if re.search(r"/v\d", base) else "/v1"
            meant = "" if base == self.url.rstrip("/") else f"; did you mean --endpoint {base}?"
            raise InputError(
                f"endpoint {self.url}/{where} answered with {about}{self._proxied()}: check --model and "
                f"--api, and that prompts fit the server's context (--k){meant or '.'}"
            ) from error

    def _request(
        self, pool: urllib3.PoolManager, method: str, where: str, failed: str, **values: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request. Raises EndpointError with urllib3's error as its cause."""
        try:
            return pool.request(method, f"{self.url.rstrip('/')}/{where}", headers=headers(), **values)
        except HTTPError as error:
            why = getattr(error, "reason", None) or error
            raise EndpointError(
                f"endpoint {self.url} {failed} ({type(why).__name__}, after {self.retries} retries"
                f"{self._proxied()}): check that the server is running, and the address."
            ) from why

    def _pool(self) -> urllib3.PoolManager:
        """Create a pool of connections, through the environment's proxy if one is set."""
        timeout = urllib3.Timeout(connect=10, read=self.timeout)
        values: dict[str, Any] = {"maxsize": self.concurrent, "retries": self._retry(), "timeout": timeout}
        if (proxy := proxy_of(self.url)) is None:
            return urllib3.PoolManager(**values)
        try:
            auth = urllib3.util.parse_url(proxy).auth
            values["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=unquote(auth)) if auth else None
            return urllib3.ProxyManager(proxy, **values)
        except HTTPError as error:
            raise InputError(
                "the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used "
                f"({type(error).__name__}): set an address such as http://proxy:3128, or NO_PROXY."
            ) from error

    def _retry(self) -> urllib3.Retry:
        return Patient(
            self.retries,
            status_forcelist=BUSY,
            allowed_methods=None,  # repeating a request is harmless
            backoff_factor=0.5,
            backoff_max=30,
            raise_on_status=False,
        )

    def _proxied(self) -> str:
        return ", through the environment's proxy" if proxy_of(self.url) else ""


@dataclass(slots=True)
class Parameters:
    """Parameters of every request, adapted to the server; shared by all threads."""

    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def adapt(self, sent: Mapping[str, Any], message: str) -> bool:
        """Rename or drop the parameter that the server refuses; return whether to send the request again."""
        named = set(re.findall(r"\w+", message.lower()))
        with self.lock:
            if self.values != sent:  # another thread has adapted them
                return True
            if "temperature" in named & sent.keys():
                del self.values["temperature"]
                self.notes.append("the server refuses temperature 0: answers are sampled, not greedy")
                return True
            name = next((name for name in LIMIT_NAMES if name in named & sent.keys()), None)
            if name is None or not UNSUPPORTED.search(message):
                return False
            limit = self.values.pop(name)
            others = [other for other in LIMIT_NAMES if other in named - {name}]
            if name == "max_tokens" and others:
                self.values[others[0]] = limit
            else:
                self.notes.append("the server accepts no limit on the tokens of an answer")
            return True


class Patient(urllib3.Retry):
    """Retries that follow Retry-After up to LONGEST_WAIT and report long waits."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Compute the seconds to wait; None without a valid header."""
        try:
            asked = super().get_retry_after(response) or 0.0
        except InvalidHeader:
            return None
        wait = min(asked, LONGEST_WAIT)
        if wait >= 10:
            report_once(f"status {response.status}, Retry-After: {asked:.0f} s; retrying in {wait:.0f} s")
        return wait


@cache
def report_once(message: str) -> None:
    """Print a message above the progress bar, once."""
    tqdm.write(message, file=sys.stderr)


def headers() -> dict[str, str]:
    """Build the request's headers, with the key from the environment if set; it is never saved.

    Raises InputError, without the value, for a key that a header cannot contain.
    """
    for name in KEY_VARIABLES:
        if key := os.environ.get(name, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise InputError(
                    f"the key in {name} contains a line break, a control character or a non-ASCII "
                    "character: copy it again."
                )
            return {"Authorization": f"Bearer {key}"}
    return {}


def proxy_of(url: str) -> str | None:
    """Look up the proxy for an address in HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""
    parts, proxies = urllib3.util.parse_url(url), getproxies()
    proxy = proxies.get(parts.scheme or "") or proxies.get("all")
    host = (parts.host or "").strip("[]")
    bypassed = proxy_bypass(host) or proxy_bypass(parts.netloc or host) or is_in_no_proxy_range(host)
    if not proxy or bypassed:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_in_no_proxy_range(host: str) -> bool:
    """Check whether NO_PROXY has a range of addresses, such as 10.0.0.0/8, with this one in it."""
    for entry in getproxies().get("no", "").split(","):
        with suppress(ValueError):  # names, of which proxy_bypass takes care
            if ip_address(host) in ip_network(entry.strip(), strict=False):
                return True
    return False
