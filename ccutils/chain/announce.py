"""What a person is told before, during and after a run: what will come, time left, where to look first.

All of it is read off Snakemake's own log; the standard library is enough.
"""

import re
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ccutils.chain.estimate import estimate_job, estimate_megabytes, split_rule
from ccutils.chain.profiles import Profile

ROW = re.compile(r"(\w+) +(\d+)$")
RULE = re.compile(r"(?:local)?rule (\w+):")
JOB = re.compile(r" +jobid: (\d+)")
WILDCARDS = re.compile(r" +wildcards: (.+)")
FINISHED = re.compile(r"Finished jobid: (\d+) ")
STEPS_DONE = re.compile(r"(\d+ of \d+ steps \(\d+%\) done)")


@dataclass(slots=True)
class Job:
    """A job that has started: its rule, what tells it from others of the rule, when it began."""

    rule: str
    start: float
    about: str = ""

    def __str__(self) -> str:
        return f"{split_rule(self.rule)[0]} {self.about}".strip()


class Watch:
    """Reads Snakemake's log line by line and says what a person wants to know of it.

    `jobs` run at once; `speed` is that of `ccutils.chain.speed`, if known. The time left comes from the jobs
    of a rule that have finished, before that from an estimate that those of other rules correct.
    """

    def __init__(
        self, profile: Profile, jobs: int, speed: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.profile, self.jobs, self.speed, self.now = profile, jobs, speed, now
        self.counts: dict[str, int] = {}
        self.expected: dict[str, float | None] = {}
        self.running: dict[int, Job] = {}
        self.finished: list[tuple[Job, float]] = []
        self.in_table = False
        self.last = Job("start", 0.0)

    def read(self, line: str) -> Iterator[str]:
        """Take one line of the log and yield the lines to print because of it."""
        if line.startswith("Job stats:"):
            self.in_table = not self.counts  # a dry run ends with the same table again
        elif self.in_table and (row := ROW.match(line)):
            if row[1] == "total":
                self.in_table = False
                yield from self.tell_plan()
            else:
                self.counts[row[1]] = int(row[2])
        elif rule := RULE.match(line):
            self.last = Job(rule[1], self.now())
        elif number := JOB.match(line):
            self.running[int(number[1])] = self.last
        elif wildcards := WILDCARDS.match(line):
            self.last.about = " ".join(part.partition("=")[2] for part in wildcards[1].split(", "))
        elif (done := FINISHED.match(line)) and int(done[1]) in self.running:
            job = self.running.pop(int(done[1]))
            self.finished.append((job, self.now() - job.start))
        elif steps := STEPS_DONE.match(line):
            yield self.tell_progress(steps[1])

    def tell_plan(self) -> Iterator[str]:
        """Yield what will run, about how long it takes here, and how much disk it needs."""
        kinds = Counter[str]()
        for rule, count in self.counts.items():
            kinds[split_rule(rule)[0]] += count
        jobs = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        yield f"{kinds.total()} notebooks to run, {self.jobs} at once: {jobs}"
        for rule in self.counts:
            self.expected[rule] = estimate_job(self.profile, rule, self.speed) if self.speed else None
        left = self.seconds_left()
        if left is None:
            yield "how long it takes is told by each training notebook once it has timed the model"
            return
        free = shutil.disk_usage(self.profile.results_folder).free / 2**20
        disk = estimate_megabytes(self.counts)
        yield (
            f"about {span(left)} on this machine if it does nothing else, from a timing of a few seconds; "
            f"about {disk:.0f} MB of disk of {free / 1024:.0f} GB free"
        )

    def tell_progress(self, steps: str) -> str:
        """Return how far the run is, the time left if that can be told, and the slowest job so far."""
        parts = [steps]
        left = self.seconds_left()
        if left:
            parts.append(f"about {span(left)} left")
        if self.finished:
            job, seconds = max(self.finished, key=lambda pair: pair[1])
            parts.append(f"slowest so far: {job}, {span(seconds)}")
        return "; ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the seconds until all jobs are done, or None where a rule's cost is not known."""
        left, running = Counter(self.counts), Counter(job.rule for job in self.running.values())
        left.subtract(job.rule for job, _ in self.finished)
        total = 0.0
        for rule, count in left.items():
            each = self.seconds_of(rule) if count else 0.0
            if each is None:
                return None
            total += each * count
            spent = [self.now() - job.start for job in self.running.values() if job.rule == rule]
            total -= sum(min(each, seconds) for seconds in spent)
        return total / max(1, min(self.jobs, left.total() or running.total()))

    def seconds_of(self, rule: str) -> float | None:
        """Return what a job of a rule takes: the mean of those finished, else the estimate, corrected."""
        own = [seconds for job, seconds in self.finished if job.rule == rule]
        if own:
            return sum(own) / len(own)
        expected = self.expected.get(rule)
        known = [(s, self.expected[job.rule]) for job, s in self.finished if self.expected.get(job.rule)]
        if expected is None or not known:
            return expected
        return expected * sum(s for s, _ in known) / sum(e for _, e in known if e)


def span(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> span(42), span(100), span(4000)
    ('42 s', '2 min', '1 h 7 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def where_to_look(results: str, report: str, command: Sequence[str], has_reference: bool) -> list[str]:
    """Return the lines that end a run: what to open first, and what to try next."""
    again, elsewhere = (shlex.join(["./reproduce.sh", *words]) for words in (command, drop_results(command)))
    compare = f"  {again} --compare          your numbers beside the reference"
    return [
        "Where to look first:",
        f"  {report}: what came out, every figure, the rules and their verdicts (--open opens it)",
        f"  {results}/figures: each figure as .svg, .png and interactive .html",
        f"  {results}/notebooks: every notebook as it was executed, with its outputs",
        "What to try next:",
        *([compare] if has_reference else []),
        f"  {elsewhere} --set k=4 --set results={results}-k4    one parameter, a folder of its own",
        "  .venv/bin/jupyter lab notebooks    move parameters and sliders by hand",
    ]


def drop_results(command: Sequence[str]) -> list[str]:
    """Return the words of a command without its results folder.

    >>> drop_results(["--set", "k=4", "--set", "results=a"]), drop_results(["--set=results=a"])
    (['--set', 'k=4'], [])
    """
    kept: list[str] = []
    for word in command:
        if word.startswith("results=") and kept and kept[-1] == "--set":
            kept.pop()
        elif not word.startswith("--set=results="):
            kept.append(word)
    return kept


def how_to_go_on(command: Sequence[str]) -> str:
    """Return what someone who stops a run is told."""
    again = shlex.join(["./reproduce.sh", *command])
    return (
        f"stopped; what has finished is kept, and {again} goes on from there (training from its checkpoint)."
    )
