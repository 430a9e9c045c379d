"""The command line behind ./reproduce.sh: read the profile, check it, and let Snakemake run the chain.

Only the standard library is imported at the top, so that --help and a wrong option are answered before
anything is installed.
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ccutils.errors import InputError
from ccutils.execute import BAD_INPUT, list_gpus, say
from ccutils.profiles import ROOT, Profile, nearest, read_profile, to_config

PROFILES = ROOT / "profiles"
FREE_BYTES = 200 * 2**20  # below this a run would fail half-way
STEPS = re.compile(r"\d+ of \d+ steps \(\d+%\) done")
UP_TO_DATE = "Nothing to be done"


class Parser(argparse.ArgumentParser):
    """argparse, but a refusal is one sentence that lists the known options."""

    def error(self, message: str) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings]
        raise InputError(f"{message}; known options are {', '.join(options)}.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Raises InputError for an unknown option, value or profile."""
    parser = Parser(
        prog="./reproduce.sh",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Set up, run every notebook of the chain, regenerate every figure.\n"
        "`./reproduce.sh test [pytest's options]` sets up and runs the checks and tests instead.",
        epilog="examples:\n"
        "  ./reproduce.sh                               the embedded default, on the CPU\n"
        "  ./reproduce.sh --dry-run                     what would run, and why\n"
        "  ./reproduce.sh --set task=mtop --set k=4     other parameters: any of a notebook's first cell\n"
        "  ./reproduce.sh --profile t4                  a real LLM on a GPU\n\n"
        "A second run does only what is missing or what a changed parameter or notebook affects.",
    )
    parser.add_argument(
        "--profile",
        default="cpu",
        help=f"which runs to make: {', '.join(known_profiles())}, or the path of a .yaml file like those in "
        "profiles/ (default: cpu)",
    )
    parser.add_argument("--cores", type=count, default=cores(), help="CPU cores to use (default: all)")
    parser.add_argument(
        "--jobs", type=count, help="notebooks at once, sharing the cores (default: one a core)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="give a notebook's parameter another value (YAML); task, model, strategy, seeds and results "
        "replace the profile's; may be repeated",
    )
    options = parser.parse_args(arguments)
    profile_path(options.profile)
    return options


def count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known_profiles() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile_path(name: str) -> Path:
    """The file of a profile given by name or by path. Raises InputError that lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"profile {name!r} does not exist{nearest(name, known_profiles())}")
    return path


def check_results_folder(folder: Path) -> None:
    """Make the results folder and write to it. Raises InputError if it is read-only or full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"results folder {folder} cannot be written to ({reason}): choose another, --set results=FOLDER."
        ) from error
    if free < FREE_BYTES:
        raise InputError(
            f"results folder {folder} has {free >> 20} MB left and a run needs {FREE_BYTES >> 20}: "
            "free some, or choose another, --set results=FOLDER."
        )


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the results folder for this run; the lock dies with its holders, so none is ever stale."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another run is at work in {folder}: wait for it, or choose another by --set results=FOLDER."
            ) from error
        yield lock.fileno()


def run_snakemake(profile: Profile, options: argparse.Namespace, lock: int) -> tuple[int, str]:
    """Run the chain, showing its jobs' own lines and Snakemake's count; return its status and its log."""
    jobs = min(options.jobs or options.cores, options.cores)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({**to_config(profile), "threads": options.cores // jobs}, config)
        config.flush()
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(profile.results_folder), "--configfile", config.name]
        command += ["--cores", str(options.cores), "--resources", f"gpu={max(1, len(list_gpus()))}"]
        command += ["--rerun-incomplete", "--keep-going", "--scheduler", "greedy"]
        command += ["--nolock"]  # `alone` sees to that
        command += ["--dry-run", "--quiet", "rules", "host"] if options.dry_run else []
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE if options.dry_run else None,
            stderr=subprocess.STDOUT if options.dry_run else subprocess.PIPE,
            text=True,
            pass_fds=[lock],
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )
        stream = process.stdout if options.dry_run else process.stderr
        assert stream is not None
        lines = []
        for line in stream:
            lines.append(line)
            if STEPS.match(line):
                say(line.strip())
        return process.wait(), "".join(lines)


def read_failures(results: Path) -> list[dict[str, str | int]]:
    return [json.loads(path.read_text()) for path in sorted((results / "logs").rglob("*.failed"))]


def run(options: argparse.Namespace) -> int:
    """Check everything, run the chain, tell the outcome. Raises InputError before anything has started."""
    profile = read_profile(profile_path(options.profile), options.set)
    results = profile.results_folder
    check_results_folder(results)
    with alone(results) as lock:
        for path in (results / "logs").rglob("*.failed"):
            path.unlink()
        say(f"profile {options.profile}, results in {shown(results)}, {options.cores} cores")
        status, log = run_snakemake(profile, options, lock)
        failures = read_failures(results)
    if UP_TO_DATE in log:
        say(f"Nothing to do: everything is up to date. The report: {shown(results / 'report.html')}")
    elif failures:
        say(f"\n{len(failures)} notebook(s) failed; what is finished is kept, and the same command goes on:")
        for note in failures:
            say(f"  {note['job']}: {note['message']}\n    log: {shown(results / 'logs')}/{note['job']}.log")
        return BAD_INPUT if all(note["status"] == BAD_INPUT for note in failures) else 1
    elif status:
        say(f"Snakemake failed:\n{log[-3000:]}")
    elif options.dry_run:
        say(log[log.rfind("Job stats") :].strip())
    else:
        say(f"Done. The report: {shown(results / 'report.html')}")
    return status


def shown(path: Path) -> str:
    """A path as a person in the repository would write it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def check_options(arguments: Sequence[str]) -> int:
    """Answer --help and refuse a wrong option or profile; what reproduce.sh asks before it sets up."""
    try:
        parse(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status: 0 done, 2 bad input, 1 any other failure."""
    try:
        return run(parse(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("stopped; the same command goes on from what is finished.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
