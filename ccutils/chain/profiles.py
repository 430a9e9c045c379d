"""Profiles: the runs of the chain, and the parameters of each notebook."""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ccutils.errors import InputError, check_kind, check_seeds, from_text, nearest, no_such_file

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workflow" / "profiles"
LISTS = {"task": "tasks", "model": "models", "strategy": "strategies", "seeds": "seeds", "results": "results"}
"""Parameters that identify a notebook's run, and the profile's key with their values."""
AMBIGUOUS = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)(\.[0-9_]*)?")
"""Numbers that YAML 1.1 reads as octal or base 60: 010 is 8 and 1:30 is 90."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A validated profile.

    A notebook runs one job for each task x model x strategy x group of seeds. `parameters` apply to every
    notebook that declares them, `tasks[name]` overrides them for one task, and `overrides` (from --set)
    override both.
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
        """Collect the parameters of one notebook for one job; `run` gives its task, model, seeds and so on.

        Parameters that the notebook does not declare are omitted. Mappings (`task_options`) are merged.
        """
        task = self.tasks.get(run.get("task", ""), {})
        given = merged(self.parameters, task, self.overrides, run)
        return {name: given[name] for name in declared_parameters(self.notebook(notebook)) if name in given}


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings. Later values replace earlier ones; values that are mappings are merged.

    >>> merged({"k": 6, "task_options": {"pool_size": 100}}, {"task_options": {"n_test": 50}})
    {'k': 6, 'task_options': {'pool_size': 100, 'n_test': 50}}
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            old = found.get(name)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            found[name] = {**old, **value} if both else value  # type: ignore[dict-item]
    return found


def known_profiles() -> list[str]:
    """List the names of the bundled profiles."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile_path(name: str) -> Path:
    """Find the file of a profile by name or path. Raises InputError that suggests existing profiles."""
    named = not name.endswith((".yaml", ".yml"))
    path = PROFILES / f"{name}.yaml" if named else Path(name)
    if not path.is_file() and not named:
        raise no_such_file(path)
    if not path.is_file():
        raise InputError(f"profile {name!r} does not exist{nearest(name, known_profiles())}")
    return path


def read_profile(path: Path, settings: Iterable[str] = ()) -> Profile:
    """Read a profile and apply settings written NAME=VALUE, the value in YAML.

    `task`, `model`, `strategy`, `seeds` and `results` replace the profile's; all others go to `overrides`.
    Raises InputError for a file that is not a profile, and for an unknown parameter.
    """
    source = f"profile {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    config = load_yaml(text, source)
    if not isinstance(config, dict):
        raise InputError(f"{source} is not a mapping of names to values: see workflow/profiles/cpu.yaml.")
    config.setdefault("results", f"results/{path.stem}")
    profile = make_profile(config, source)
    for setting in settings:
        profile = make_profile(with_setting(profile, *parse_setting(setting)), f"--set {setting}")
    return profile


def load_yaml(text: str, source: str) -> Any:
    """Read one YAML document. Raises InputError for a repeated name and for a number such as 010 or 1:30."""
    import yaml  # here, since --help must work before anything is installed

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            for key in keys:
                if keys.count(key) > 1:
                    raise yaml.YAMLError(f"{key!r} is defined twice{node.start_mark}")
            return super().construct_mapping(node, deep)

        def construct_scalar(self, node: Any) -> Any:
            if node.tag.endswith((":int", ":float")) and AMBIGUOUS.fullmatch(node.value):
                line = node.start_mark.line + 1
                raise yaml.YAMLError(
                    f"line {line}: {node.value} is ambiguous; quote it or write a plain number"
                )
            return super().construct_scalar(node)

    try:
        return yaml.load(text, Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date 2026-13-45
        message = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise InputError(f"{source} is not valid YAML: {message}") from error


def parse_setting(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE and read the value as YAML: 3, 0.5, [0, 1], true, a word.

    >>> parse_setting("seeds=[0, 1]")
    ('seeds', [0, 1])
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"--set {text} is not NAME=VALUE: write, for example, --set k=4.")
    return name, load_yaml(value, f"--set {text}")


def with_setting(profile: Profile, name: str, value: Any) -> dict[str, Any]:
    """Apply one value of --set, and return a mapping for `make_profile`, which validates it."""
    config = to_config(profile)
    listed = value if isinstance(value, list) else [value]
    if name == "results":
        config["results"] = value
    elif name == "seeds":  # one seed a job if the profile does so, else all in one job
        seeds = check_seeds(value, "--set seeds")
        single = all(len(group) == 1 for group in profile.seeds)
        config["seeds"] = [[seed] for seed in seeds] if single else [seeds]
    elif name == "task":
        check_names("--set task", listed)
        config["tasks"] = {task: profile.tasks.get(task, {}) for task in listed}
    elif name in LISTS:
        config[LISTS[name]] = listed
    else:
        config["overrides"] = {**profile.overrides, name: value}
    return config


def make_profile(config: Mapping[str, Any], source: str = "the profile") -> Profile:
    """Validate a profile's mapping. Raises InputError with the wrong key or parameter."""
    known = list(Profile.__dataclass_fields__)
    for key in config:
        if key not in known:
            raise InputError(f"{source}: key {key!r} is unknown{nearest(key, known)}")
    for key in ("tasks", "models", "strategies", "seeds"):
        if not config.get(key):
            raise InputError(f"{source}: key {key!r} is missing or empty.")
    usual = {"gpu": False, "results": "results", "notebooks": "notebooks", "parameters": {}, "overrides": {}}
    for key, default in usual.items():
        check_kind(f"{source}: {key!r}", config.get(key, default), default)
        if config.get(key) == "":
            raise InputError(f"{source}: {key!r} is empty: name a folder, or leave it out.")
    for key in ("models", "strategies"):
        check_names(f"{source}: {key!r}", config[key])
    groups = config["seeds"]
    if not isinstance(groups, Sequence) or not all(isinstance(g, list | tuple) and g for g in groups):
        raise InputError(f"{source}: 'seeds' must be a list of groups of seeds, such as [[0, 1], [2]].")
    check_seeds([seed for group in groups for seed in group], f"{source}: 'seeds'")
    check_kind(f"{source}: 'tasks'", config["tasks"], {})
    check_names(f"{source}: 'tasks'", list(config["tasks"]))
    folder = (ROOT / config.get("notebooks", "notebooks")).resolve()
    parameters = all_parameters(folder)

    def checked(where: str, values: Any) -> dict[str, Any]:
        check_kind(where, values, {})
        return check_parameters(where, from_root(dict(values)), parameters)

    return Profile(
        **{
            **config,
            "tasks": {
                name: checked(f"{source}: tasks.{name}", own or {}) for name, own in config["tasks"].items()
            },
            "models": tuple(from_root(model) for model in config["models"]),
            "strategies": tuple(config["strategies"]),
            "seeds": tuple(tuple(group) for group in groups),
            **{key: checked(source, config.get(key, {})) for key in ("parameters", "overrides")},
        }
    )


def check_names(where: str, names: Any) -> None:
    """Raise InputError unless `names` is a list of distinct texts."""
    if not isinstance(names, list | tuple) or not names:
        raise InputError(f"{where} is {names!r}: it must be a list of names.")
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{where} contains {name!r}, which is not a text: put it in quotes.")
        if names.count(name) > 1:
            raise InputError(f"{where} contains {name!r} twice: remove one.")


def check_parameters(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values to the types of the defaults in `known`.

    Raises InputError for another type, an unknown name, and a name that has its own key in the profile.
    """
    values = {}
    for name, value in given.items():
        if name in LISTS:
            raise InputError(f"{where}: {name!r} is not a parameter; use the profile's key {LISTS[name]!r}.")
        if name == "profile":
            raise InputError(f"{where}: 'profile' is for notebooks opened by hand; use --profile.")
        if name not in known:
            raise InputError(f"{where}: no notebook has the parameter {name!r}{nearest(name, known)}")
        values[name] = from_text(value, known[name])
        if isinstance(value, Mapping) and value:
            check_names(f"{where}: {name}", list(value))
        if name == "targets" and isinstance(value, list):  # peft accepts both forms
            values[name] = ",".join(map(str, value))
        check_kind(f"{where}: {name}", values[name], known[name])
    return values


def from_root(value: Any, *, named: bool = False) -> Any:
    """Make existing paths absolute, relative ones from the repository: notebooks run in their own folder.

    Only values of names that end in `path`, and texts with a slash or a suffix, are read as paths: a folder
    called `tiny` changes nothing.
    """
    if isinstance(value, dict):
        return {name: from_root(item, named=str(name).endswith("path")) for name, item in value.items()}
    if not isinstance(value, str) or not (named or "/" in value or Path(value).suffix):
        return value
    path = (ROOT / value).resolve()
    return str(path) if path.exists() else value


def notebook_values(profile: str, notebook: str) -> dict[str, Any]:
    """Collect the values of a profile for a notebook that is opened by hand; none for ''.

    These are the profile's parameters, and its first task, model and seeds; the notebook sets the strategy.
    Raises InputError for a profile that does not exist.

    >>> values = notebook_values("smollm2", "04_probes")
    >>> values["task"], values["model"], values["k"], "strategy" in values
    ('requests', 'smollm2', 4, False)
    """
    if not profile:
        return {}
    found = read_profile(profile_path(profile))
    run = {"task": next(iter(found.tasks)), "model": found.models[0], "seeds": list(found.seeds[0])}
    return found.values(notebook, **run, results=str(found.results_folder))


def load_parameters(notebook: str, variables: Mapping[str, Any]) -> SimpleNamespace:
    """Collect a notebook's parameters from its `variables`; values of its `profile`, if any, replace them.

    Prints the values of the profile. Raises InputError for a profile or a notebook that does not exist.
    """
    beside = Path(f"{notebook}.ipynb")  # a kernel starts in the notebook's folder; ccutils may be elsewhere
    declared = declared_parameters(beside if beside.exists() else ROOT / "notebooks" / beside)
    replaced = notebook_values(variables["profile"], notebook)
    for name, value in replaced.items():
        print(f"{name} = {value!r}")
    return SimpleNamespace(**{**{name: variables[name] for name in declared}, **replaced})


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Read names and defaults from a notebook's cell tagged `parameters`; None if not a literal.

    Raises InputError for a file that is not a notebook or does not have exactly one such cell.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{notebook} is not a notebook with exactly one cell tagged 'parameters'."
        ) from error
    found = {}
    for line in ast.parse("".join(cell["source"])).body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(line.value)  # type: ignore[attr-defined]
                except ValueError:
                    found[target.id] = None
    return found


def all_parameters(folder: Path) -> dict[str, Any]:
    """Collect the parameters of all notebooks of a folder, with their defaults."""
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise InputError(f"folder {folder} has no notebooks: check the profile's key 'notebooks'.")
    return {name: value for path in paths for name, value in declared_parameters(path).items()}


def to_config(profile: Profile) -> dict[str, Any]:
    """Convert the profile to plain values for `make_profile`, with absolute folders."""
    folders = {"results": str(profile.results_folder), "notebooks": str(profile.notebooks_folder)}
    return {**asdict(profile), **folders}
