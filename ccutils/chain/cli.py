"""The command line behind ./reproduce.sh: read and check the profile, and run the chain with Snakemake.

Only the standard library is imported at the top, so that --help and option errors work before anything is
installed.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ccutils.chain.holding import end_processes, hold_folder, mark_processes
from ccutils.chain.job import BAD_INPUT, KILLED, list_gpus, no_room, print_line
from ccutils.chain.preflight import check_profile
from ccutils.chain.profiles import ROOT, Profile, known_profiles, profile_path, read_profile, to_config
from ccutils.chain.surroundings import settle
from ccutils.errors import InputError, command, nearest
from ccutils.records import check_results_folder, write_json

UP_TO_DATE = "Nothing to be done"
STEPS = re.compile(r"(\d+) of (\d+) steps")
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_GRACE = 1.0  # seconds for an interrupted run to exit; training resumes from its checkpoint anyway


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises InputError and suggests options similar to an unknown one."""

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split()
        known = [name for action in self._actions for name in action.option_strings]
        raise InputError(message + nearest(unknown[0], known) if unknown else f"{message}. See --help.")


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Raises InputError for an unknown option, value or profile."""
    parser = Parser(
        prog="./reproduce.sh",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Set up the environment, run the notebooks of the chain, and draw all figures.\n\n"
        "other commands:\n"
        "  ./reproduce.sh test [pytest options]         run the checks and tests\n"
        "  ./reproduce.sh test slow                     run the slow tests\n"
        "  ./reproduce.sh docs [RESULTS]                build HTML pages of a finished run",
        epilog="examples:\n"
        "  ./reproduce.sh                               the default profile, on the CPU\n"
        "  ./reproduce.sh --dry-run                     list the jobs that would run, and why\n"
        "  ./reproduce.sh --compare                     compare your results with the reference rows\n"
        "  ./reproduce.sh --set task=gloss --set k=4 --set results=results/k4\n"
        "                                               change any parameter of a notebook's first cell\n"
        "  ./reproduce.sh --profile t4                  a real LLM on a GPU\n\n"
        "A second run does only missing jobs and those affected by a changed parameter or notebook.",
    )
    add = parser.add_argument
    names = ", ".join(known_profiles())
    add("--profile", default="cpu", help=f"{names}, or a path to a .yaml file (default: cpu)")
    add("--cores", type=count, default=cores(), help="CPU cores to use (default: all)")
    add("--jobs", type=count, help="notebooks to run at once; they share the cores (default: one per core)")
    add("--dry-run", action="store_true", help="only list the jobs that would run")
    add("--open", action="store_true", help="open the report in a browser at the end")
    add("--compare", action="store_true", help="only compare existing results with the reference rows")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a notebook's parameter (VALUE in YAML); task, model, strategy, seeds and results "
        "replace the profile's; repeatable",
    )
    options = parser.parse_args(arguments)
    profile_path(options.profile)
    return options


def count(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_snakemake(profile: Profile, options: argparse.Namespace) -> tuple[int, str]:
    """Run the chain, show the progress of its jobs, and return Snakemake's status and log.

    Jobs print to standard output. Snakemake prints to standard error, in a dry run to standard output.
    """
    from tqdm import tqdm  # here, since --help must work before anything is installed

    folder = profile.results_folder
    jobs = min(options.jobs or options.cores, options.cores)
    config = folder / ".snakemake" / "profile.json"
    write_json(config, {**to_config(profile), "threads": options.cores // jobs})
    # hold_folder replaces Snakemake's own locks, which outlive a killed run.
    snakefile = ROOT / "workflow" / "Snakefile"
    snakemake = [sys.executable, "-m", "ccutils.chain.graph", "--snakefile", str(snakefile)]
    snakemake += ["--directory", str(folder), "--configfile", str(config), "--cores", str(options.cores)]
    snakemake += ["--resources", f"gpu={max(1, len(list_gpus()))}", "--scheduler", "greedy"]
    snakemake += ["--rerun-incomplete", "--keep-going", "--nolock"]
    snakemake += ["--dry-run", "--quiet", "rules", "host"] if options.dry_run else []
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        snakemake,
        stdout=subprocess.PIPE if options.dry_run else None,
        stderr=subprocess.STDOUT if options.dry_run else subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C reaches it and its jobs once, through this process
        preexec_fn=prepare_child,
        env={**os.environ, "PYTHONPATH": path, "CCUTILS_PYTHON": sys.executable, **mark_processes(folder)},
    )
    stream = process.stdout if options.dry_run else process.stderr
    assert stream is not None
    start, lines = time.monotonic(), []
    try:
        for line in stream:
            lines.append(line)
            if steps := STEPS.match(line):
                done, total = map(int, steps.groups())
                print_line(tqdm.format_meter(done, total, time.monotonic() - start, ncols=80, unit="job"))
        return process.wait(), "".join(lines)
    except KeyboardInterrupt:
        stop(process, folder)
        raise


def stop(process: subprocess.Popen[str], folder: Path) -> None:
    """Interrupt Snakemake and its jobs; kill them after END_GRACE or at the next interruption."""
    with suppress(subprocess.TimeoutExpired, ProcessLookupError, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=END_GRACE)
    for again in STOPS:
        signal.signal(again, signal.SIG_IGN)
    end_processes(folder)
    process.wait()


def prepare_child() -> None:
    """Restore Ctrl-C in a child process, and mark it as the first to be killed when memory runs out.

    A script's background jobs ignore Ctrl-C. If the kernel kills a job, this process can report it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")


def planned_jobs(log: str) -> str:
    """Extract the table of planned jobs, and why they would run, from the log of a dry run."""
    table = log[log.rfind("Job stats") :].split("Some jobs were triggered")[0]
    lines = (line for line in table.splitlines() if not line.strip().startswith(("(check", "This was a dry")))
    return "\n".join(lines).strip()


def failure_cause(status: int, log: str) -> str:
    """Explain a failure of Snakemake that no job reported; quote Snakemake's log if the cause is unknown."""
    if no_room(log):
        return "The disk of the results folder is full. Free some space; the same command resumes."
    if denied := re.search(r"Permission denied: '([^']+)'", log):
        return not_permitted(denied[1])
    killed = r"died with <Signals|non-zero exit (status|code) -?(9|137)\b"
    if status < 0 or re.search(killed, log):
        return f"Snakemake or a job was killed, {KILLED}"
    return f"Snakemake failed:\n{log[-3000:]}"


def not_permitted(path: str) -> str:
    """Describe a file of the results folder that this user has no permission for."""
    return (
        f"No permission for {path}; it may belong to another user. Ask its owner, or choose another results "
        "folder with --set results=FOLDER."
    )


def report_failures(failures: Sequence[dict[str, str | int]], results: Path) -> int:
    """Print the failed jobs with their causes, and return the exit status."""
    print_line(
        f"\n{len(failures)} job(s) failed. The results of finished jobs are saved; the same command resumes."
    )
    for note in failures:
        log = results / "logs" / f"{note['job']}.log"
        print_line(f"  {note['job']}: {note['message']}\n    log: {shown(log)}")
    return BAD_INPUT if all(note["status"] == BAD_INPUT for note in failures) else 1


def run_chain(options: argparse.Namespace) -> int:
    """Check the profile, run the chain, report the outcome. Raises InputError before anything starts."""
    start = time.monotonic()
    profile = read_profile(profile_path(options.profile), options.set)
    results = profile.results_folder
    print_line(f"Profile {options.profile}, results in {shown(results)}, cores: {options.cores}")
    for note in settle(results):
        print_line(note)
    check_profile(profile, dry_run=options.dry_run)
    check_results_folder(results)
    with hold_folder(results) as ended:
        if ended:
            print_line(f"Ended {ended} process(es) of an earlier run that was killed.")
        for path in (results / "logs").rglob("*.failed"):
            path.unlink()
        status, log = run_snakemake(profile, options)
        failures = [json.loads(path.read_text()) for path in sorted((results / "logs").rglob("*.failed"))]
    if failures:
        return report_failures(failures, results)
    if status:
        print_line(failure_cause(status, log))
        return 1
    report = results / "report.html"
    if UP_TO_DATE in log:
        print_line(f"Nothing to do: all results are up to date. Report: {shown(report)}")
    elif options.dry_run:
        print_line(planned_jobs(log))
    else:
        print_line(f"Done in {time.monotonic() - start:.0f} s. Report: {shown(report)}")
        print_line(f"Figures: {shown(results / 'figures')}")
        print_line(f"Executed notebooks: {shown(results / 'notebooks')}")
    if options.open and not options.dry_run:
        webbrowser.open(report.as_uri())
    return 0


def compare_with_reference(options: argparse.Namespace) -> int:
    """Compare the profile's results with its reference rows. Raises InputError if either is missing."""
    from ccutils.report.aggregate import find_rows  # here, since it needs installed packages
    from ccutils.report.paired import find_judged
    from ccutils.report.reference import (
        compare_rows,
        find_answers,
        find_reference,
        tell_agreement,
        tell_origin,
    )

    name = profile_path(options.profile).stem
    reference = find_reference(name)
    if reference is None:
        known = ", ".join(sorted(path.stem for path in (ROOT / "data" / "reference").glob("*.parquet")))
        raise InputError(f"no reference rows for profile {name!r}; available: {known}.")
    results = read_profile(profile_path(options.profile), options.set).results_folder
    table = compare_rows(find_rows(results), reference, find_judged(results), find_answers(name))
    print_line(table.to_string(index=False, float_format="{:.2f}".format))
    print_line(f"{tell_agreement(table)}\n{tell_origin(reference)}")
    return 0


def shown(path: Path) -> str:
    """Format a path, relative to the repository if it is inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


@command
def refuse_options(arguments: Sequence[str]) -> None:
    """Print --help, or raise for a wrong option or profile. reproduce.sh calls this before the set-up."""
    parse_options(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status: 0 success, 2 bad input, 1 any other failure."""
    for stopped in STOPS[1:]:  # a batch system's stop, a closed terminal: treat as Ctrl-C
        if signal.getsignal(stopped) != signal.SIG_IGN:  # under nohup: ignore it
            signal.signal(stopped, signal.default_int_handler)
    try:
        options = parse_options(arguments)
        return compare_with_reference(options) if options.compare else run_chain(options)
    except PermissionError as error:
        print(f"error: {not_permitted(str(error.filename))}", file=sys.stderr)
        return BAD_INPUT
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and not no_room(str(error)):
            raise
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        again = shlex.join(["./reproduce.sh", *arguments])
        print(f"Interrupted. To resume from the last checkpoint: {again}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
