"""Answers of a model behind a server of the OpenAI kind: several requests at once, each answer kept.

Waiting, trying again and what a server says of it (Retry-After) are urllib3's work.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

import urllib3
from tqdm import tqdm

from ccutils.contexts.prompts import first_line
from ccutils.errors import InputError, check_count
from ccutils.records import hash_prompt, read_answers

APIS = ("completions", "chat")
"""completions: the prompt as plain text, what IC-Train trains on; a base model needs it. chat: demonstrations
as turns, in the server's own chat template. Every question can be asked by either."""
KEY_VARIABLES = ("CCUTILS_API_KEY", "OPENAI_API_KEY")  # environment variables, the first that is set counts
BUSY = (408, 429, 500, 502, 503, 504)  # what passes

Asked = str | list[dict[str, str]]
"""A prompt: a text, or messages with `role` and `content`."""


class EndpointError(Exception):
    """A server that gave up, told in one sentence; the answers so far are kept."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address such as http://localhost:8000/v1, and how it is asked.

    `concurrent` requests are open at once; `timeout` is the seconds that one may take, `retries` how often it
    is tried again, after 0.5 s, 1 s, 2 s and so on, or what the server asks for. Raises InputError for values
    that cannot be.
    """

    url: str
    model: str
    api: str = "completions"
    concurrent: int = 8
    timeout: float = 120.0
    retries: int = 6

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"endpoint {self.url!r} is no address: write, say, http://localhost:8000/v1.")
        if self.api not in APIS:
            raise InputError(f"api {self.api!r} does not exist: choose one of {', '.join(APIS)}.")
        check_count("concurrent", self.concurrent)
        if self.timeout <= 0 or self.retries < 0:
            raise InputError(f"timeout is {self.timeout} and retries {self.retries}: both must be positive.")

    def answers(self, prompts: Sequence[Asked], max_new_tokens: int, path: Path) -> "EndpointAnswers":
        """Ask what the file `path` does not hold yet, greedily, and keep each answer in it as it comes.

        Raises InputError where the server refuses what is asked (no such model, no key), EndpointError where
        it cannot be reached or gives up; either way the same call goes on from the answers kept.
        """
        known, keys = read_answers(path), list(map(hash_prompt, prompts))
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
        if missing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" * bool(file.tell()))  # a kill may have cut the last line off
                cut = self._ask_all(missing, max_new_tokens, file)
            known = read_answers(path)
        else:
            cut = 0
        return EndpointAnswers([known[key] for key in keys], len(missing), cut)

    def _ask_all(self, missing: Mapping[str, Asked], most: int, file: TextIO) -> int:
        """Append the missing answers to the file; return how many were cut off at `most` tokens."""
        retry = urllib3.Retry(
            self.retries,
            status_forcelist=BUSY,
            allowed_methods=None,  # asking twice does no harm
            backoff_factor=0.5,
            backoff_max=30,
            raise_on_status=False,
        )
        pool = urllib3.PoolManager(
            maxsize=self.concurrent, retries=retry, timeout=urllib3.Timeout(connect=10, read=self.timeout)
        )
        workers, lock = ThreadPoolExecutor(self.concurrent), Lock()

        def ask(key: str) -> bool:
            text, finished = self._ask(pool, missing[key], most)
            with lock:  # here, so that an answer on its way when another request fails is kept, too
                file.write(json.dumps([key, text]) + "\n")
                file.flush()
            return finished

        futures: list[Future[bool]] = []
        try:
            self._check(pool)
            futures = [workers.submit(ask, key) for key in missing]
            with tqdm(as_completed(futures), total=len(futures), desc=self.model, mininterval=1) as bar:
                return sum(not future.result() for future in bar)
        except (EndpointError, InputError) as error:
            workers.shutdown(cancel_futures=True)
            came = [f for f in futures if not f.cancelled() and f.exception() is None]
            kept = f" {len(came)} of {len(missing)} answers are kept: the same command goes on from there."
            raise type(error)(f"{error}{kept if came else ''}") from error
        finally:
            workers.shutdown(cancel_futures=True)
            pool.clear()

    def _check(self, pool: urllib3.PoolManager) -> None:
        """Raise EndpointError at once where nobody listens; a server need not know /models."""
        try:
            pool.request(
                "GET", f"{self.url.rstrip('/')}/models", headers=headers(), retries=False, timeout=10
            )
        except urllib3.exceptions.ReadTimeoutError:
            return  # it may be busy loading: the questions themselves wait longer
        except urllib3.exceptions.HTTPError as error:
            raise EndpointError(
                f"endpoint {self.url} cannot be reached ({type(error).__name__}): start the server, or check "
                "the address."
            ) from error

    def _ask(self, pool: urllib3.PoolManager, prompt: Asked, most: int) -> tuple[str, bool]:
        """Return one answer, its first line, and whether it came to an end of its own."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": most, "temperature": 0}
        if isinstance(prompt, str):
            where, read = "completions", _completion
            body["prompt"] = prompt  # no "stop": some servers fail on it, and the first line alone is taken
        else:
            where, read = "chat/completions", _message
            body["messages"] = prompt
        try:
            got = pool.request("POST", f"{self.url.rstrip('/')}/{where}", json=body, headers=headers())
        except urllib3.exceptions.HTTPError as error:
            why = getattr(error, "reason", None) or error
            raise EndpointError(
                f"endpoint {self.url} stopped answering ({type(why).__name__}, after {self.retries} tries "
                "more): see that the server runs."
            ) from error
        return self._read(got, where, read)

    def _read(
        self, got: urllib3.BaseHTTPResponse, where: str, read: Callable[[Any], tuple[Any, Any]]
    ) -> tuple[str, bool]:
        if got.status in BUSY:
            said = got.data[:120].decode("utf-8", "replace").strip()
            raise EndpointError(
                f"endpoint {self.url} is too busy or fails (status {got.status} and {said!r}, after "
                f"{self.retries} tries more): lower --concurrent, or see the server's log."
            )
        if got.status in (401, 403):
            raise InputError(
                f"endpoint {self.url} wants a key (status {got.status}): put it into the environment "
                f"variable {KEY_VARIABLES[0]}."
            )
        try:
            if got.status != 200:
                raise ValueError
            text, ended = read(json.loads(got.data))
            text = text or ""
            # What follows the first line is nothing, so that nothing is lost where that is cut off.
            return first_line(text), ended != "length" or "\n" in text.lstrip()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = got.data[:120].decode("utf-8", "replace").strip()
            raise InputError(
                f"endpoint {self.url}/{where} answered with status {got.status} and {said!r}: check --model "
                "and --api, and that prompts fit the server's context (--k)."
            ) from error


@dataclass(frozen=True, slots=True)
class EndpointAnswers:
    """Answers in the order of the prompts; how many were asked for now, and of these cut off."""

    texts: list[str]
    asked: int
    cut: int


def headers() -> dict[str, str]:
    """Return the request's headers, with a key of the environment where there is one; it is kept nowhere."""
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _completion(found: Any) -> tuple[Any, Any]:
    choice = found["choices"][0]
    return choice["text"], choice.get("finish_reason")


def _message(found: Any) -> tuple[Any, Any]:
    choice = found["choices"][0]
    return choice["message"]["content"], choice.get("finish_reason")
