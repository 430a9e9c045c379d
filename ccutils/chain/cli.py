"""The command line behind ./reproduce.sh: read the profile, check it, and let Snakemake run the chain.

Only the standard library is imported at the top, so that --help and a wrong option are answered before
anything is installed.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ccutils.chain.announce import Watch, how_to_go_on, where_to_look
from ccutils.chain.estimate import find_speed, is_estimated
from ccutils.chain.holding import end_processes, hold_folder, mark_processes
from ccutils.chain.job import BAD_INPUT, KILLED, list_gpus, no_room, print_line
from ccutils.chain.preflight import check_profile
from ccutils.chain.profiles import ROOT, Profile, known_profiles, profile_path, read_profile, to_config
from ccutils.chain.surroundings import settle
from ccutils.errors import InputError, close_names, did_you_mean
from ccutils.records import check_results_folder, write_json

UP_TO_DATE = "Nothing to be done"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_GRACE = 1.0  # seconds that a stopped run is given to end by itself; what is killed goes on as well


class Parser(argparse.ArgumentParser):
    """argparse, but a refusal is one sentence: with the option nearest to an unknown one, else with all known
    options and then `words`.
    """

    words = ""

    def error(self, message: str) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings]
        known = [name.removeprefix("--") for name in options if name.startswith("--")]
        unknown = message.partition("unrecognized arguments: ")[2].split()
        for name in (word.partition("=")[0] for word in unknown if word.startswith("-")):
            # Without the dashes, which are alike in all of them.
            if close := close_names(name.strip("-"), known):
                raise InputError(message + did_you_mean(f"--{option}" for option in close))
        raise InputError(f"{message}; known options are {', '.join(options)}{self.words}.")


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Raises InputError for an unknown option, value or profile."""
    parser = Parser(
        prog="./reproduce.sh",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Set up, run every notebook of the chain, regenerate every figure.\n"
        "`./reproduce.sh test [pytest's options]` sets up and runs the checks and tests instead, "
        "`./reproduce.sh test slow` the slow tests, `./reproduce.sh docs` the pages of a finished run.",
        epilog="examples:\n"
        "  ./reproduce.sh                               the embedded default, on the CPU\n"
        "  ./reproduce.sh --dry-run                     what would run, and why\n"
        "  ./reproduce.sh --compare                     this machine's numbers beside the reference\n"
        "  ./reproduce.sh --set task=mtop --set k=4     others: any that a notebook lists at its top\n"
        "  ./reproduce.sh --profile t4                  a real LLM on a GPU\n\n"
        "A second run does only what is missing or what a changed parameter or notebook affects.",
    )
    parser.words = "; `./reproduce.sh test` and `./reproduce.sh docs` are the other commands"
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
    parser.add_argument("--open", action="store_true", help="open the report in a browser when it is done")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="set the profile's results beside the reference rows; runs nothing",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="give a notebook's parameter another value (YAML); task, model, strategy, seeds and results "
        "replace the profile's; may be repeated",
    )
    options = parser.parse_args(arguments)
    options.given = [text for text in arguments if text not in ("--open", "--dry-run")]
    profile_path(options.profile)
    return options


def count(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def snakemake_command(profile: Profile, options: argparse.Namespace, config: Path) -> list[str]:
    """Return Snakemake's command line; `hold_folder` makes its own locks needless."""
    command = [sys.executable, "-m", "ccutils.chain.graph", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(profile.results_folder), "--configfile", str(config)]
    command += ["--cores", str(options.cores), "--resources", f"gpu={max(1, len(list_gpus()))}"]
    command += ["--rerun-incomplete", "--keep-going", "--nolock", "--scheduler", "greedy"]
    return command + (["--dry-run", "--quiet", "rules", "host"] if options.dry_run else [])


def run_snakemake(profile: Profile, options: argparse.Namespace) -> tuple[int, str]:
    """Run the chain, showing the jobs' own lines and Snakemake's count of them; return its status and log.

    The jobs print to standard output, Snakemake to standard error, but its dry run to standard output.
    """
    folder = profile.results_folder
    jobs = min(options.jobs or options.cores, options.cores)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    config, lines = folder / ".snakemake" / "profile.json", []
    write_json(config, {**to_config(profile), "threads": options.cores // jobs})
    speed = find_speed(folder, options.cores // jobs) if is_estimated(profile) else None
    watch = Watch(profile, jobs, speed)
    process = subprocess.Popen(
        snakemake_command(profile, options, config),
        stdout=subprocess.PIPE if options.dry_run else None,
        stderr=subprocess.STDOUT if options.dry_run else subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that an interruption reaches it and its jobs once, through us
        preexec_fn=prepare_child,
        env={**os.environ, "PYTHONPATH": path, "CCUTILS_PYTHON": sys.executable, **mark_processes(folder)},
    )
    stream = process.stdout if options.dry_run else process.stderr
    assert stream is not None
    try:
        for line in stream:
            lines.append(line)
            for told in watch.read(line):
                print_line(told)
        return process.wait(), "".join(lines)
    except KeyboardInterrupt:
        stop(process, folder)
        raise


def stop(process: subprocess.Popen[str], folder: Path) -> None:
    """Ask Snakemake and its jobs to end, and kill what is left after a while or at the next interruption."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=END_GRACE)
    except (subprocess.TimeoutExpired, ProcessLookupError, KeyboardInterrupt):
        pass  # all the same
    for again in STOPS:
        signal.signal(again, signal.SIG_IGN)
    end_processes(folder)
    process.wait()


def prepare_child() -> None:
    """Make a new process heed Ctrl-C, which a script's background job ignores, and be what Linux ends first
    where memory is short: a job, and not this process, which tells what happened.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError):  # there is no such file elsewhere
        Path("/proc/self/oom_score_adj").write_text("1000")


def plan(log: str) -> str:
    """Return what a dry run said: how many jobs of which rule, and why; without its advice on options."""
    table = log[log.rfind("Job stats") :].split("Some jobs were triggered")[0]
    lines = (line for line in table.splitlines() if not line.strip().startswith(("(check", "This was a dry")))
    return "\n".join(lines).strip()


def failure_cause(status: int, log: str) -> str:
    """Return why Snakemake failed although no job says why it did; its own words where that is unknown."""
    if no_room(log):
        return "The disk of the results folder is full: free some; the same command goes on."
    if (
        status < 0
        or "died with <Signals" in log
        or re.search(r"non-zero exit (status|code) -?(9|137)\b", log)
    ):
        return f"Snakemake or a job was killed, {KILLED}"
    return f"Snakemake failed:\n{log[-3000:]}"


def read_failures(results: Path) -> list[dict[str, str | int]]:
    return [json.loads(path.read_text()) for path in sorted((results / "logs").rglob("*.failed"))]


def tell_failures(failures: Sequence[dict[str, str | int]], results: Path) -> int:
    """Say again at the end what failed, and return the exit status."""
    print_line(f"\n{len(failures)} job(s) failed. What has finished with these settings is kept;")
    print_line("the same command goes on from there.")
    for note in failures:
        print_line(
            f"  {note['job']}: {note['message']}\n    log: {shown(results / 'logs')}/{note['job']}.log"
        )
    return BAD_INPUT if all(note["status"] == BAD_INPUT for note in failures) else 1


def run_chain(options: argparse.Namespace) -> int:
    """Check everything, run the chain, tell the outcome. Raises InputError before anything has started."""
    start = time.monotonic()
    profile = read_profile(profile_path(options.profile), options.set)
    results = profile.results_folder
    used = f"{options.cores} core{'s' if options.cores > 1 else ''}"
    print_line(
        f"profile {options.profile}, results in {shown(results)}, {used}; first it is checked and planned"
    )
    for sentence in settle(results):
        print_line(sentence)
    check_profile(profile, dry_run=options.dry_run)
    check_results_folder(results)
    report = shown(results / "report.html")
    with hold_folder(results) as ended:
        if ended:
            print_line(ended)
        for path in (results / "logs").rglob("*.failed"):
            path.unlink()
        status, log = run_snakemake(profile, options)
        failures = read_failures(results)
    if failures:
        return tell_failures(failures, results)
    if status:
        print_line(failure_cause(status, log))
        return 1
    if UP_TO_DATE in log:
        print_line(f"Nothing to do: everything is up to date. The report: {report}")
    elif options.dry_run:
        print_line(plan(log))
    else:
        print_line(f"Done in {time.monotonic() - start:.0f} s. The report: {report}")
        kept = (ROOT / "reference" / f"{profile_path(options.profile).stem}.parquet").is_file()
        print_line("\n".join(where_to_look(shown(results), report, options.given, kept)))
    if options.open and not options.dry_run:
        webbrowser.open((results / "report.html").as_uri())
    return 0


def compare_with_reference(options: argparse.Namespace) -> int:
    """Print the profile's results beside its reference rows. Raises InputError where either is missing."""
    from ccutils.report.aggregate import find_rows  # here, since it needs what is installed
    from ccutils.report.reference import compare_rows, find_reference, tell_agreement, tell_origin

    name = profile_path(options.profile).stem
    reference = find_reference(name)
    if reference is None:
        raise InputError(
            f"no reference rows of profile {name!r} are kept in reference/: none to compare with."
        )
    table = compare_rows(
        find_rows(read_profile(profile_path(options.profile), options.set).results_folder), reference
    )
    print_line(table.to_string(index=False, float_format="{:.2f}".format))
    print_line(f"{tell_agreement(table)}\n{tell_origin(reference)}")
    return 0


def shown(path: Path) -> str:
    """Return a path as a person in the repository would write it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def refuse_options(arguments: Sequence[str]) -> int:
    """Answer --help and refuse a wrong option or profile; what reproduce.sh asks before it sets up."""
    try:
        parse_options(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status: 0 done, 2 bad input, 1 any other failure."""
    for stopped in STOPS[1:]:  # a batch system's stop, a closed terminal: as Ctrl-C
        if signal.getsignal(stopped) != signal.SIG_IGN:  # nohup asks to go on
            signal.signal(stopped, signal.default_int_handler)
    try:
        options = parse_options(arguments)
        return compare_with_reference(options) if options.compare else run_chain(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        if not no_room(str(error)):
            raise
        print(f"error: the disk is full ({error}): free some; the same command goes on.", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(how_to_go_on(arguments), file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
