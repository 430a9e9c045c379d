"""Answers of a model behind an OpenAI-compatible server: several requests at once, each answer saved.

urllib3 does the waiting and retrying.
"""

import json
import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
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
"""completions: the prompt as plain text, the form that IC-Train trains on; base models need it. chat:
demonstrations as turns, in the server's own chat template. Either can ask every question."""
KEY_VARIABLES = ("CCUTILS_API_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set counts
BUSY = (408, 409, 425, 429, *range(500, 1000))
"""Statuses that are tried again."""
LONGEST_WAIT = 120
"""Seconds: a server that asks to wait longer (Retry-After) is tried again after these."""
LONGEST_TIMEOUT = 86_400
EMPTY_TRIES = 3  # requests for one answer, where replies have no choices
LIMIT_NAMES = ("max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens")
"""Names that servers have for the most tokens of an answer."""
UNSUPPORTED = re.compile(
    r"un(supported|known|recogni[sz]ed|expected)|not (be )?(support|permit|allow|accept)|n't support|extra"
    r"|forbidden|deprecated|removed|only",
    re.I,
)
CHANGING = ("permission", "status", "pricing")
"""Fields of /models that differ from one request to the next, though the model is the same."""

Asked = str | list[dict[str, str]]
"""A prompt: a text, or messages with `role` and `content`."""


class EndpointError(Exception):
    """A server that cannot be reached or gave up; answers so far are saved."""


@dataclass(frozen=True, slots=True)
class EndpointAnswers:
    """Answers in the order of the prompts ('': not answered), and counts: asked in this call, cut off at the
    token limit, unanswered, and answered to a shortened prompt. `reused_from` is when the last of the reused
    answers was saved, `notes` what the server did not accept.
    """

    texts: list[str]
    asked: int
    cut: int
    unanswered: int
    shortened: int
    reused_from: datetime | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address such as http://localhost:8000/v1, and how it is asked.

    At most `concurrent` requests are open at once. `timeout` is in seconds. A request is retried `retries`
    times, after 0.5 s, 1 s, 2 s and so on, or after what the server asks for (at most LONGEST_WAIT). Raises
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
                "the endpoint's address holds a user name or a query: leave it out, and put the key into the "
                f"environment variable {KEY_VARIABLES[0]}."
            )
        if parts.scheme not in ("http", "https") or not parts.host:
            raise InputError(f"endpoint {self.url!r} is no address: write, say, http://localhost:8000/v1.")
        if self.api not in APIS:
            raise InputError(f"api {self.api!r} does not exist: choose one of {', '.join(APIS)}.")
        if fault := unusable(self.model):
            raise InputError(f"the model's name {self.model!r} is {fault}: give another.")
        check_count("concurrent", self.concurrent)
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise InputError(f"timeout is {self.timeout}: it must be above 0, at most {LONGEST_TIMEOUT} s.")
        if self.retries < 0:
            raise InputError(f"retries is {self.retries}: it must be at least 0.")

    def served(self) -> list[dict[str, Any]]:
        """Return what /models reports of this model, or of all if it names none so; [] if it reports nothing.

        Raises EndpointError at once if nobody listens.
        """
        with self._pool() as pool:
            try:
                got = pool.request(
                    "GET",
                    f"{self.url.rstrip('/')}/models",
                    headers=headers(),
                    retries=patient(self.retries).new(connect=0, read=0, other=0),
                    timeout=10,
                )
            except HTTPError as error:
                why = getattr(error, "reason", None) or error
                if isinstance(why, ReadTimeoutError):
                    return []  # it may be busy loading: the questions themselves wait longer
                raise EndpointError(
                    f"endpoint {self.url} cannot be reached ({type(why).__name__}{self._through()}): start "
                    "the server, or check the address."
                ) from error
        now = time.time()
        with suppress(ValueError, TypeError, KeyError):
            now = parsedate_to_datetime(got.headers["Date"]).timestamp()
        try:
            models = json.loads(got.data)["data"] if got.status == 200 else []
            own = [model for model in models if model["id"] == self.model] or models
            return [_lasting(model, now) for model in sorted(own, key=lambda model: str(model["id"]))]
        except (ValueError, LookupError, TypeError, AttributeError):
            return []

    def answers(self, prompts: Sequence[Asked], max_new_tokens: int, path: Path) -> EndpointAnswers:
        """Ask the prompts whose answers the file `path` lacks, greedily, and save each answer as it arrives.

        Raises InputError if the server refuses the request (no such model, no key), and EndpointError if it
        cannot be reached or gives up; the same call then continues from the saved answers.
        """
        known, keys = read_replies(path), list(map(hash_prompt, prompts))
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
        reused = any(key in known for key in keys)
        when = datetime.fromtimestamp(path.stat().st_mtime) if reused else None
        parameters = Parameters(max_new_tokens)
        if missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" * bool(file.tell()))  # a kill may have cut the last line off
                self._ask_all(missing, parameters, file)
            known = read_replies(path)
        replies = [known[key] for key in keys]
        return EndpointAnswers(
            [reply.answer for reply in replies],
            asked=len(missing),
            cut=sum(reply.cut for reply in replies),
            unanswered=sum(not reply.answer for reply in replies),
            shortened=sum(map(is_shortened, prompts, replies)),
            reused_from=when,
            notes=parameters.notes,
        )

    def _ask_all(self, missing: Mapping[str, Asked], parameters: "Parameters", file: TextIO) -> None:
        """Append the missing answers to the file."""
        pool, workers, lock = self._pool(), ThreadPoolExecutor(self.concurrent), Lock()

        def ask(key: str) -> None:
            line = self._ask(pool, missing[key], parameters).line(key)
            with lock:  # here, so that an answer on its way when another request fails is saved, too
                file.write(line)
                file.flush()

        futures: list[Future[None]] = []
        try:
            self.served()
            futures = [workers.submit(ask, key) for key in missing]
            for future in tqdm(as_completed(futures), total=len(futures), desc=self.model, mininterval=1):
                future.result()
        except (EndpointError, InputError) as error:
            workers.shutdown(cancel_futures=True)
            came = [f for f in futures if not f.cancelled() and f.exception() is None]
            kept = f" {len(came)} of {len(missing)} answers are kept: the same command goes on from there."
            raise type(error)(f"{error}{kept if came else ''}") from error
        finally:
            workers.shutdown(cancel_futures=True)
            pool.clear()

    def _pool(self) -> urllib3.PoolManager:
        """Make a pool of connections, through the proxy of the environment if there is one."""
        values: dict[str, Any] = {
            "maxsize": self.concurrent,
            "retries": patient(self.retries),
            "timeout": urllib3.Timeout(connect=10, read=self.timeout),
        }
        proxy = proxy_of(self.url)
        if proxy is None:
            return urllib3.PoolManager(**values)
        try:
            auth = urllib3.util.parse_url(proxy).auth
            values["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=unquote(auth)) if auth else None
            return urllib3.ProxyManager(proxy, **values)
        except HTTPError as error:
            raise InputError(
                "the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used "
                f"({type(error).__name__}): give an address such as http://proxy:3128, or set NO_PROXY."
            ) from error

    def _through(self) -> str:
        return ", through the proxy of the environment" if proxy_of(self.url) else ""

    def _ask(self, pool: urllib3.PoolManager, prompt: Asked, parameters: "Parameters") -> Reply:
        """Ask one prompt; a reply without choices is asked for again, and then counts as no answer."""
        # No "stop": some servers fail on it, and only the first line is used.
        where, name = (
            ("completions", "prompt") if isinstance(prompt, str) else ("chat/completions", "messages")
        )
        reply, tries = None, 0
        while reply is None and tries < EMPTY_TRIES:
            sent = dict(parameters.values)
            try:
                got = pool.request(
                    "POST",
                    f"{self.url.rstrip('/')}/{where}",
                    json={"model": self.model, name: prompt, **sent},
                    headers=headers(),
                )
            except HTTPError as error:
                why = getattr(error, "reason", None) or error
                raise EndpointError(
                    f"endpoint {self.url} stopped answering ({type(why).__name__}{self._through()}, after "
                    f"{self.retries} tries more): see that the server runs."
                ) from error
            if got.status in (400, 422) and parameters.adapt(sent, got.data.decode("utf-8", "replace")):
                continue
            reply, tries = self._read(got, where), tries + 1
        return reply or Reply(None)

    def _read(self, got: urllib3.BaseHTTPResponse, where: str) -> Reply | None:
        said = got.data.decode("utf-8", "replace").strip()
        if got.status == 400 and re.search(r"content_filter|ResponsibleAIPolicyViolation", said):
            return Reply(None, "content_filter")
        for key in headers().values():
            said = said.replace(key.removeprefix("Bearer "), "...")
        said = said[:120]
        if got.status in BUSY:
            wait = got.headers.get("Retry-After")
            raise EndpointError(
                f"endpoint {self.url} is too busy or fails (status {got.status} and {said!r}, after "
                f"{self.retries} tries more{f'; it asks to wait {wait} s' if wait else ''}): lower "
                "--concurrent, or see the server's log."
            )
        if got.status in (401, 403):
            raise InputError(
                f"endpoint {self.url} wants a key (status {got.status}): put it into the environment "
                f"variable {KEY_VARIABLES[0]}."
            )
        try:
            if got.status != 200:
                raise ValueError
            return parse_reply(json.loads(got.data))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"endpoint {self.url}/{where} answered with status {got.status} and {said!r}"
                f"{self._through()}: check --model and --api, and that prompts fit the server's context "
                f"(--k){self._address()}."
            ) from error

    def _address(self) -> str:
        """Suggest the address that was probably meant, where this one is not that of an API."""
        base = re.sub(r"/(chat/)?completions/?$", "", self.url.rstrip("/"))
        base += "" if re.search(r"/v\d", base) else "/v1"
        return "" if base == self.url.rstrip("/") else f"; did you mean --endpoint {base}?"


@dataclass(slots=True)
class Parameters:
    """The parameters of every request, adapted to what the server accepts; shared by all threads."""

    max_new_tokens: int
    values: dict[str, Any] = field(init=False)
    notes: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.values = {"max_tokens": self.max_new_tokens, "temperature": 0}

    def adapt(self, sent: dict[str, Any], said: str) -> bool:
        """Rename or leave out a parameter that the server refuses; return whether to ask again."""
        with self.lock:
            if self.values != sent:  # another thread was refused first
                return True
            if "temperature" in sent and re.search(r"\btemperature\b", said):
                self.values = {key: value for key, value in sent.items() if key != "temperature"}
                self.notes.append("the server refuses temperature 0: its answers are sampled, not greedy")
                return True
            name = next((name for name in LIMIT_NAMES if name in sent), "")
            if not name or not re.search(rf"\b{name}\b", said) or not UNSUPPORTED.search(said):
                return False
            others = [other for other in LIMIT_NAMES if other != name and re.search(rf"\b{other}\b", said)]
            self.values = {key: value for key, value in sent.items() if key != name}
            if name == "max_tokens" and others:
                self.values[others[0]] = self.max_new_tokens
            else:
                self.notes.append("the server accepts no limit on the tokens of an answer")
            return True


def headers() -> dict[str, str]:
    """Return the request's headers, with the key of the environment if there is one; it is saved nowhere.

    Raises InputError, without the value, for a key that no header can hold.
    """
    for name in KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise InputError(
                f"the key in {name} holds a line break, a control character or a letter beyond ASCII: copy "
                "it again."
            )
        if key:
            return {"Authorization": f"Bearer {key}"}
    return {}


def proxy_of(url: str) -> str | None:
    """Return the proxy for an address, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""
    parts, proxies = urllib3.util.parse_url(url), getproxies()
    proxy = proxies.get(parts.scheme or "") or proxies.get("all")
    host = (parts.host or "").strip("[]")
    if not proxy or proxy_bypass(host) or proxy_bypass(parts.netloc or host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def patient(retries: int) -> urllib3.Retry:
    """Make the rule by which requests are retried; long waits are reported once."""
    reported: set[int] = set()

    class Patient(urllib3.Retry):
        def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
            try:
                asked = super().get_retry_after(response) or 0.0
            except InvalidHeader:
                return None
            wait = min(asked, LONGEST_WAIT)
            if wait >= 10 and math.ceil(wait) not in reported:
                reported.add(math.ceil(wait))
                tqdm.write(
                    f"the server (status {response.status}) asks to wait {asked:.0f} s: trying again in "
                    f"{wait:.0f} s",
                    file=sys.stderr,
                )
            return wait

    return Patient(
        retries,
        status_forcelist=BUSY,
        allowed_methods=None,  # asking twice does no harm
        backoff_factor=0.5,
        backoff_max=30,
        raise_on_status=False,
    )


def _lasting(model: dict[str, Any], now: float) -> dict[str, Any]:
    """Drop what differs from one request to the next; many servers give the time of the request as
    `created`.
    """
    made = model.get("created")
    fresh = isinstance(made, int | float) and abs(now - made) < 60
    return {
        key: value for key, value in model.items() if key not in CHANGING and not (key == "created" and fresh)
    }
