"""Profiles: which runs of the chain a profile makes, and with which parameters each notebook runs."""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ccutils.chain.strict_yaml import check_named, check_names_are_texts, check_once, load_yaml
from ccutils.errors import InputError, check_kind, check_seeds, from_text, nearest

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "profiles"
RUN = ("task", "model", "strategy", "seeds", "results")
"""Parameters that say which run a notebook belongs to: the profile's lists give them, one value a job."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One file of profiles/, checked.

    Every task x model x strategy x group of seeds is one job of a notebook; a group of seeds shares a job.
    `parameters` go to every notebook that declares them, `tasks[name]` overrides them for one task, and
    `overrides` (from --set) override both.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    models: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    gpu: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    results: str = "results/own"
    notebooks: str = "notebooks"

    @property
    def results_folder(self) -> Path:
        return (ROOT / Path(self.results).expanduser()).resolve()

    @property
    def notebooks_folder(self) -> Path:
        return (ROOT / self.notebooks).resolve()

    def notebook(self, name: str) -> Path:
        return self.notebooks_folder / f"{name}.ipynb"

    def values(self, notebook: str, **run: Any) -> dict[str, Any]:
        """Return values of the parameters of one notebook for one job; `run` holds its task, model, seeds and
        so on.

        Parameters that the notebook does not declare are left out. Of those that are mappings, such as
        `task_options`, a later value changes the names it has and leaves the others.
        """
        task = self.tasks.get(run.get("task", ""), {})
        given = merged(self.parameters, task, self.overrides, run)
        declared = declared_parameters(self.notebook(notebook))
        return {name: given[name] for name in declared if name in given}


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return one mapping of several, the later over the earlier, and so for values that are mappings
    themselves.

    >>> merged({"k": 6, "task_options": {"pool_size": 100}}, {"task_options": {"n_test": 50}})
    {'k': 6, 'task_options': {'pool_size': 100, 'n_test': 50}}
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            old = found.get(name, {})
            mappings = isinstance(old, Mapping) and isinstance(value, Mapping)
            found[name] = {**old, **value} if mappings else value
    return found


def read_profile(path: Path, settings: Iterable[str] = ()) -> Profile:
    """Read a profile and apply settings written NAME=VALUE, the value in YAML.

    Raises InputError for a file that is no profile, and for names that no notebook has as a parameter.
    """
    import yaml  # here, since the command line must be able to show its help before anything is installed

    try:
        config = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date 2026-13-45
        raise InputError(f"profile {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise InputError(f"profile {path} is not a mapping of names to values: see profiles/cpu.yaml.")
    profile = make_profile({"results": f"results/{path.stem}", **config}, str(path))
    return apply_settings(profile, dict(parse_setting(text) for text in settings))


def known_profiles() -> list[str]:
    """Return the names of the profiles in profiles/."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile_path(name: str) -> Path:
    """Return the file of a profile given by name or by path. Raises InputError that lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"profile {name!r} does not exist{nearest(name, known_profiles())}")
    return path


def notebook_values(profile: str, notebook: str) -> dict[str, Any]:
    """Return what a profile gives a notebook that is opened by hand: its first task, model and seeds, and its
    parameters; nothing for ''.

    The strategy is left to the notebook. Raises InputError for a profile that does not exist.

    >>> values = notebook_values("smollm2", "04_probes")
    >>> values["task"], values["model"], values["k"], "strategy" in values
    ('requests', 'smollm2', 4, False)
    """
    if not profile:
        return {}
    found = read_profile(profile_path(profile))
    run = {"task": next(iter(found.tasks)), "model": found.models[0], "seeds": list(found.seeds[0])}
    return found.values(notebook, **run, results=str(found.results_folder))


def parse_setting(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE and read the value as YAML: 3, 0.5, [0, 1], true, a word.

    >>> parse_setting("seeds=[0, 1]")
    ('seeds', [0, 1])
    """
    import yaml

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"--set {text} is not NAME=VALUE: write, for example, --set k=4.")
    try:
        return name, load_yaml(value)
    except yaml.constructor.ConstructorError as error:
        raise InputError(f"--set {text}: {error.problem}.") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"--set {text}: its value is not YAML; quote it.") from error


def make_profile(config: Mapping[str, Any], source: str = "the profile") -> Profile:
    """Check the shape of a profile's mapping. Raises InputError that names the key which is wrong."""
    check_shape(config, source)
    tasks = {name: from_root(dict(own or {})) for name, own in config["tasks"].items()}
    profile = Profile(
        **{
            **config,
            "models": tuple(from_root(model) for model in config["models"]),
            "strategies": tuple(config["strategies"]),
            "tasks": tasks,
            "parameters": from_root(dict(config.get("parameters", {}))),
            "seeds": tuple(tuple(group) for group in config["seeds"]),
        }
    )
    known = all_parameters(profile)
    return replace(
        profile,
        tasks={name: check_parameters(f"{source}: ", own, known) for name, own in tasks.items()},
        parameters=check_parameters(f"{source}: ", profile.parameters, known),
        overrides=check_parameters(f"{source}: ", profile.overrides, known),
    )


def check_shape(config: Mapping[str, Any], source: str) -> None:
    """Raise InputError for a key of a profile that is unknown, missing or of the wrong kind."""
    known = list(Profile.__dataclass_fields__)
    for key in config:
        if key not in known:
            raise InputError(f"{source}: key {key!r} is unknown{nearest(key, known)}")
    for key, default in {"gpu": False, "results": "results/own", "notebooks": "notebooks"}.items():
        check_kind(f"{source}: {key!r}", config.get(key, default), default)
        check_named(f"{source}: {key!r}", config.get(key))
    for key in ("tasks", "models", "strategies", "seeds"):
        if not config.get(key):
            raise InputError(f"{source}: key {key!r} is missing or empty.")
    tasks = config["tasks"]
    if not isinstance(tasks, Mapping) or not all(isinstance(t or {}, Mapping) for t in tasks.values()):
        raise InputError(f"{source}: 'tasks' must be a mapping, each task to its own parameters or to {{}}.")
    check_names_are_texts(f"{source}: 'tasks'", tasks)
    for key in ("models", "strategies"):
        if not isinstance(config[key], list | tuple) or not all(isinstance(v, str) for v in config[key]):
            raise InputError(f"{source}: {key!r} must be a list of names.")
        check_once(f"{source}: {key!r}", config[key])
    groups = config["seeds"]
    if not isinstance(groups, list | tuple) or not all(isinstance(g, list | tuple) and g for g in groups):
        raise InputError(
            f"{source}: 'seeds' must be a list of groups of whole numbers, such as [[0, 1], [2]]."
        )
    check_seeds([seed for group in groups for seed in group], f"{source}: 'seeds'")
    for key in ("parameters", "overrides"):
        if not isinstance(config.get(key, {}), Mapping):
            raise InputError(f"{source}: {key!r} must be a mapping of parameters to values.")


def check_parameters(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of notebooks' parameters, of the kinds of their defaults; `known` are all names with
    those.

    Raises InputError for a name that no notebook takes, or that the profile's lists give.
    """
    values = {}
    for name, value in given.items():
        if name in RUN:
            raise InputError(f"{where}{name}: give it as the profile's own list, not as a parameter.")
        if name == "profile":
            raise InputError(f"{where}profile: it is for a notebook opened by hand; here it is --profile.")
        if name not in known:
            raise InputError(f"{where}{name}: no notebook has this parameter{nearest(name, known)}")
        values[name] = from_text(value, known[name])
        if isinstance(value, Mapping):
            check_names_are_texts(f"{where}{name}", value)
        if name == "targets" and isinstance(value, list):  # one of peft's two forms; the other is a text
            values[name] = ",".join(map(str, value))
        check_kind(f"{where}{name}", values[name], known[name])
    return values


def apply_settings(profile: Profile, settings: Mapping[str, Any]) -> Profile:
    """Return the profile with --set's values: run names replace its lists, the rest become `overrides`.

    Raises InputError for a name that is a parameter of no notebook, with the nearest that are.
    """
    values = {name: from_root(value) for name, value in settings.items() if name not in RUN}
    values = check_parameters("--set ", values, all_parameters(profile))
    changed = replace(profile, overrides={**profile.overrides, **values})
    if "task" in settings:
        tasks = {name: profile.tasks.get(name, {}) for name in _names("task", settings["task"])}
        changed = replace(changed, tasks=tasks)
    if "model" in settings:
        changed = replace(changed, models=tuple(map(from_root, _names("model", settings["model"]))))
    if "strategy" in settings:
        changed = replace(changed, strategies=_names("strategy", settings["strategy"]))
    if "results" in settings:
        check_kind("--set results", settings["results"], profile.results)
        check_named("--set results", settings["results"])
        changed = replace(changed, results=settings["results"])
    if "seeds" in settings:
        changed = replace(changed, seeds=_groups(profile, settings["seeds"]))
    return changed


def from_root(value: Any, *, named: bool = False) -> Any:
    """Return a path that exists, read from the repository's folder, as an absolute one: notebooks run in
    their own.

    Only what is called `path`, or a text with a slash or a suffix, can be one: a folder called `tiny` changes
    nothing.
    """
    if isinstance(value, dict):
        return {name: from_root(item, named=str(name).endswith("path")) for name, item in value.items()}
    if not isinstance(value, str) or not (named or "/" in value or Path(value).suffix):
        return value
    path = (ROOT / value).resolve()
    return str(path) if path.exists() else value


def _names(name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, str) for v in values):
        raise InputError(f"--set {name}: {value!r} is not a name or a list of names.")
    check_once(f"--set {name}", values)
    return tuple(values)


def _groups(profile: Profile, value: Any) -> tuple[tuple[int, ...], ...]:
    """Group seeds as the profile does: one a job where it has one a job, else all in one job."""
    seeds = check_seeds(value, "--set seeds")
    single = all(len(group) == 1 for group in profile.seeds)
    return tuple((seed,) for seed in seeds) if single else (tuple(seeds),)


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Return names and default values of the assignments in a notebook's cell tagged `parameters`.

    A default that is not a literal reads as None. Raises InputError for a file that is no notebook or has not
    exactly one such cell.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"notebook {notebook} is missing or not a notebook.") from error
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise InputError(
            f"notebook {notebook} has {len(tagged)} cells tagged 'parameters': it must have one."
        )
    found = {}
    for line in ast.parse("".join(tagged[0]["source"])).body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _literal(getattr(line, "value", None))
    return found


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node else None
    except ValueError:
        return None


def all_parameters(profile: Profile) -> dict[str, Any]:
    """Return names and defaults of the parameters of all notebooks of the profile's folder."""
    found: dict[str, Any] = {}
    paths = sorted(profile.notebooks_folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise InputError(f"folder {profile.notebooks_folder} holds no notebooks.")
    for path in paths:
        found |= declared_parameters(path)
    return found


def to_config(profile: Profile) -> dict[str, Any]:
    """Return the profile as plain values, as `make_profile` takes them; the folders as absolute paths."""
    folders = {"results": str(profile.results_folder), "notebooks": str(profile.notebooks_folder)}
    return {**asdict(profile), **folders}
