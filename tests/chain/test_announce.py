"""What is told of a run, read off Snakemake's log with a clock of our own."""

from dataclasses import replace
from pathlib import Path

import pytest
from stub_chain import make_chain

from ccutils.chain import announce
from ccutils.chain.announce import Watch, how_to_go_on, where_to_look
from ccutils.chain.profiles import Profile, read_profile

TABLE = """\
Job stats:
job              count
-------------  -------
start                1
ic_train_0_1         2
figures              1
total                4

"""
STARTED = """\
localrule {rule}:
    jobid: {number}
    wildcards: task=topics, model=tiny, strategy={strategy}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return read_profile(make_chain(tmp_path))


def test_it_is_told_beforehand_what_will_run_how_long_and_how_much_disk(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, {"start": 100, "ic_train_0_1": 1000, "figures": 100})
    jobs, forecast = read(Watch(profile, 2, 0.5), TABLE)
    assert jobs == "4 notebooks to run, 2 at once: 1 start, 2 ic_train, 1 figures"
    assert forecast.startswith("about 9 min on this machine") and " MB of disk of " in forecast


def test_nothing_is_promised_of_a_model_that_is_not_the_tiny_one(profile: Profile) -> None:
    told = read(Watch(replace(profile, models=("org/name",)), 2, 0.5), TABLE)
    assert told[1:] == ["how long it takes is told by each training notebook once it has timed the model"]


def test_time_left_follows_what_has_finished_and_the_slowest_job_is_named(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, {"start": 10, "ic_train_0_1": 100, "figures": 10})
    clock = Clock()
    watch = Watch(profile, 1, 1.0, clock)
    read(watch, TABLE + STARTED.format(rule="start", number=3, strategy=""))
    clock.seconds = 20.0  # twice what was expected: so will the others be
    told = read(watch, "Finished jobid: 3 (Rule: start)\n1 of 4 steps (25%) done")
    assert told == ["1 of 4 steps (25%) done; about 7 min left; slowest so far: start topics tiny, 20 s"]
    read(watch, STARTED.format(rule="ic_train_0_1", number=1, strategy="random"))
    clock.seconds = 70.0  # quicker than that
    told = read(watch, "Finished jobid: 1 (Rule: ic_train_0_1)\n2 of 4 steps (50%) done")
    left = 50 + 10 * (20 + 50) / (10 + 100)
    assert told == [
        f"2 of 4 steps (50%) done; about {left:.0f} s left; slowest so far: ic_train topics tiny random, 50 s"
    ]
    read(watch, STARTED.format(rule="ic_train_0_1", number=2, strategy="similar"))
    clock.seconds = 90.0  # 20 of its 50 seconds are over
    assert watch.seconds_left() == pytest.approx(left - 20)


def test_without_a_timing_steps_are_told_all_the_same(profile: Profile) -> None:
    watch = Watch(profile, 1, None)
    assert read(watch, TABLE + "1 of 4 steps (25%) done")[-1] == "1 of 4 steps (25%) done"


def test_the_plan_is_told_once_where_the_table_comes_twice(profile: Profile) -> None:
    watch = Watch(profile, 2, None)
    told = [said for line in (TABLE * 2).splitlines() for said in watch.read(line)]
    assert len([said for said in told if "notebooks to run" in said]) == 1


def test_the_end_says_where_to_look_in_one_screen() -> None:
    lines = where_to_look("results/cpu", "results/cpu/report.html", ["--profile", "cpu"], True)
    assert len(lines) <= 20 and all(len(line) <= 110 for line in lines)
    text = "\n".join(lines)
    assert "results/cpu/report.html" in text and "./reproduce.sh --profile cpu --compare" in text


def test_what_to_try_next_names_one_folder_and_no_reference_that_is_not_there() -> None:
    command = ["--profile", "smoke", "--set", "results=here", "--set", "k=2"]
    text = "\n".join(where_to_look("here", "here/report.html", command, False))
    assert "./reproduce.sh --profile smoke --set k=2 --set k=4 --set results=here-k4" in text
    assert "--compare" not in text and text.count("results=") == 1


def test_stopping_says_how_to_go_on() -> None:
    assert "./reproduce.sh --set 'task_options={path: a b}' goes on" in how_to_go_on(
        ["--set", "task_options={path: a b}"]
    )


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def read(watch: Watch, log: str) -> list[str]:
    return [told for line in log.splitlines() for told in watch.read(f"{line}\n")]


def expect(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
    monkeypatch.setattr(announce, "estimate_job", lambda profile, rule, speed: seconds[rule] * speed)
