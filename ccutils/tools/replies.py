"""Parse the replies of a server, and warn about replies that contain more than an answer."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccutils.contexts.prompts import first_line, shorten
from ccutils.probes.questions import QuestionSet
from ccutils.tasks.base import label_key

_NAME = r"(?:seed:)?(?:think|thinking|thought|reasoning|reflection|scratchpad)\s*\|?[>\]▷]"
THOUGHT = re.compile(
    rf"\s*(?:[<\[◁]\|?(?:(?:begin_of|start)_)?{_NAME}|<\|channel\|>analysis|<\|channel>thought)", re.I
)
"""The start of a reasoning block."""
THOUGHT_END = re.compile(
    rf"[<\[◁]\|?(?:/|end_of_|end_){_NAME}|<\|channel\|>final<\|message\|>|<channel\|>", re.I
)
FENCE = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n")
MARKUP = re.compile(r"(?:\\\w+\{|<[^>\s]+>|\w+:(?=\s)|[^\w\s])+")
MOST_CHARACTERS = 6
"""Characters per token. Tokenizers average 2 to 5; above 6, the server did not read the whole prompt."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply.

    Its text (None if it refused to answer), its finish reason, and the number of prompt tokens (0 if not
    reported).
    """

    text: str | None
    ended: str | None = None
    prompt_tokens: int = 0

    @property
    def answer(self) -> str:
        """The answer, one line; '' if the question was not answered."""
        return extract(self.text or "")[0]

    @property
    def cut(self) -> bool:
        """Whether the reply ended at the token limit before its answer was complete."""
        text, complete = extract(self.text or "")
        return not complete and (self.ended == "length" or bool((self.text or "").strip() and not text))

    def line(self, key: str) -> str:
        """Format the reply as a line of an answer file; the key is the prompt's hash."""
        return json.dumps([key, self.text, self.ended, self.prompt_tokens]) + "\n"


def read_replies(path: Path) -> dict[str, Reply]:
    """Read replies by the prompt's hash. The file may be missing or end inside a line."""
    found = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else ():
        try:
            key, *values = json.loads(line)
            found[str(key)] = Reply(*values)
        except (ValueError, TypeError):
            continue
    return found


def parse_reply(found: Any) -> Reply | None:
    """Parse the JSON of a completion or a chat completion; None for a reply without choices.

    Raises LookupError, TypeError or AttributeError for anything else.
    """
    if not found["choices"]:
        return None
    choice = found["choices"][0]
    ended = choice.get("finish_reason")
    if ended == "error":
        return None
    message = choice["text"] if "text" in choice else choice["message"]
    refused = ended == "content_filter"
    if isinstance(message, dict):
        refused |= bool(message.get("refusal"))
        message = message.get("content")
    if isinstance(message, list):  # parts; the text parts are the answer
        message = "".join(part.get("text") or "" for part in message)
    if not isinstance(message, str | None):
        raise TypeError("the answer is not a text")
    usage = found.get("usage")
    read = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return Reply(None if refused else message, ended, read if type(read) is int else 0)


def extract(text: str) -> tuple[str, bool]:
    """Extract the answer, one line, and whether it is complete because the text continues after it.

    A reasoning block before the answer and a code fence around it are dropped; the lines of a fence are
    joined. After an unclosed reasoning block there is no answer.

    >>> extract("<think>It asks for weather.</think> rain\\nInput: snow")
    ('rain', True)
    >>> extract("```sql\\nSELECT name\\nFROM singer\\n```")
    ('SELECT name FROM singer', True)
    >>> extract("<think>It asks")
    ('', False)
    """
    # Lone surrogates, which JSON allows and UTF-8 files do not, become U+FFFD.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = THOUGHT_END.split(text)[-1]
    if THOUGHT.match(text):
        return "", False
    if fence := FENCE.match(text):
        inside, end, _ = text[fence.end() :].partition(fence[1])
        if end:
            return " ".join(filter(None, map(str.strip, inside.split("\n")))), True
        text = inside
    answer = first_line(text)
    if on_one_line := re.fullmatch(r"```([^`]+)```", answer):
        answer = on_one_line[1].strip()
    return answer, "\n" in text.lstrip()


def is_shortened(prompt: Any, reply: Reply) -> bool:
    """Check whether the server read far fewer tokens than the prompt (text or messages) has."""
    texts = [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]
    return 0 < reply.prompt_tokens * MOST_CHARACTERS < sum(map(len, texts))


def answer_warnings(questions: QuestionSet, answers: Sequence[str]) -> list[str]:
    """Warn if no answer is a label of the task, or most share markup: scores are then meaningless."""
    given = [answer for answer in answers if answer]
    if not given:
        return []
    found = []
    task = questions.task
    outputs = [e.output for part in (task.pool, task.id_test, task.ood_test, task.ood_pool) for e in part]
    labels = {label_key(output) for output in [*outputs, *(q.expected.output for q in questions.questions)]}
    example = repr(shorten(given[0]))
    if len(set(outputs)) <= len(outputs) / 2 and not labels & set(map(label_key, given)):
        found.append(f"no answer is a label of the task; the first is {example}")
    markup, n = Counter(_markup(answer) for answer in given).most_common(1)[0]
    expected = sum(_markup(output) == markup for output in outputs)
    if markup and n > len(given) / 2 and expected < len(outputs) / 2:
        found.append(
            f"{n} of {len(given)} answers begin with {markup!r}, which is scored as part of the answer; "
            f"the first is {example}"
        )
    return found


def _markup(text: str) -> str:
    match = MARKUP.match(text)
    return match[0] if match else ""
