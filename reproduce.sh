#!/usr/bin/env bash
# Set up the environment once, then run the chain (ccutils/chain/cli.py). `./reproduce.sh test` runs the checks
# and tests, `./reproduce.sh test slow` the slow tests, `./reproduce.sh docs` builds the pages of a finished run
# (ccutils/chain/site.py).
#
# The environment is $CCUTILS_PYTHON if set (an interpreter whose versions are not checked), else the active
# virtual or conda environment if it has the locked versions, else .venv, created from the lock file.
set -euo pipefail
export PYTHONUTF8=1 # paths and texts are UTF-8 in any language setting
unset CDPATH PYTHONSAFEPATH # CDPATH changes cd; PYTHONSAFEPATH hides ccutils in this folder
script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do # resolve links to this file; readlink -f does not exist everywhere
    link=$(readlink "$script")
    case $link in /*) script=$link ;; *) script=$(dirname "$script")/$link ;; esac
done
cd "$(dirname "$script")"
CPU_TORCH=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*"; }
refuse() { printf 'error: %s\n' "$*" >&2; exit 2; }

find_python() { # find an interpreter; 3.14 last, because one package must be compiled for it
    local name below
    for below in 14 15; do
        for name in python3 python python3.13 python3.12 python3.11 python3.14; do
            if "$name" -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, $below))" 2>/dev/null; then
                command -v "$name"
                return
            fi
        done
    done
    refuse "no Python from 3.11 to 3.14 found: install one, for example from https://www.python.org."
}

active_python() { # print the active environment's interpreter if it has the versions of lock $1
    local folder=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    [ -n "$folder" ] && "$folder/bin/python" -m ccutils.chain.environment "$1" 2>/dev/null && say "$folder/bin/python"
}

pip_install() { # install with pip; log to .venv/install.log and print the number of packages
    local total=$1
    shift
    if ! .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off "$@" 2>&1 |
        tee -a .venv/install.log | awk -v total="$total" '
            /^(Collecting|Processing) / && n++ % 25 == 0 { print "      " n " of about " total ": " $2 }
            /^ *Downloading .*\([0-9][0-9][0-9.]* MB\)/ { print "      downloading " $2, $3, $4 }
            /^Installing collected/ { print "      installing packages" }
            { fflush() }'
    then
        tail -n 20 .venv/install.log >&2
        refuse "the set-up failed; fix the error of pip above (log: .venv/install.log) and run the same command again."
    fi
}

find_uv() { # set UV to uv, which is several times as fast as pip: an installed one, else from the index
    UV=$(command -v uv) && return
    UV=.venv/bin/uv
    .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --no-deps \
        "$(grep '^uv==' requirements-dev.lock)" >>.venv/install.log 2>&1
}

install() { # install the arguments after $1, the number of packages, with uv from pip's index, or with pip
    local total=$1 index version
    shift
    version=$(.venv/bin/python -c 'import platform; print(platform.python_version())')
    index=$(.venv/bin/python -m pip config get global.index-url 2>/dev/null) || index=
    # The lock lists every package except CUDA's, which come with torch, so no resolution is needed.
    # The Python version is explicit, since pyproject.toml sets the oldest one for uv.
    if find_uv && "$UV" pip install --python .venv/bin/python --python-version "$version" --no-deps \
        --compile-bytecode --no-progress ${index:+--default-index "$index"} "$@" 2>&1 | tee -a .venv/install.log |
        awk '/^(Prepared|Installed|Bytecode|Uninstalled)/ { print "      " $0; fflush() }'
    then
        return
    fi
    say "      uv failed (see .venv/install.log); using pip, which takes longer"
    pip_install "$total" --no-deps "$@"
}

install_torch() { # on Linux without an NVIDIA GPU, PyTorch's CPU build if it can be downloaded
    local pin index=()
    pin=$(grep '^torch==' "$1")
    if nvidia-smi -L >/dev/null 2>&1; then
        say "[2/4] $pin for CUDA (a GPU was found; about 3 GB)"
    elif [ "$(uname -s)" != Linux ]; then
        say "[2/4] $pin"
    elif .venv/bin/python -c "import urllib.request as u; u.urlopen('$CPU_TORCH/', timeout=5)" 2>/dev/null; then
        say "[2/4] $pin for the CPU (about 200 MB)"
        index=(--extra-index-url "$CPU_TORCH")
    else
        say "[2/4] $pin from pip's index, since $CPU_TORCH cannot be reached (perhaps a large CUDA build)"
    fi
    # With pip, whose configuration may list local wheels; compile_rest byte-compiles them.
    pip_install 10 --no-compile "$pin" -c "$1" ${index[@]+"${index[@]}"}
}

compile_rest() { # byte-compile what pip installed (uv compiles only its own packages)
    [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || return 0
    .venv/bin/python -m compileall -qq -j 0 .venv/lib >/dev/null 2>&1 || true # some templates are not valid Python
}

set_up() { # install the lock $1 in .venv; a copy of the lock there marks a complete environment
    local lock=$1 python
    cmp -s "$lock" ".venv/$lock" && return
    python=$(find_python)
    say "[1/4] creating .venv with $("$python" --version)"
    rm -f .venv/requirements*.lock
    "$python" -m venv .venv || refuse "$python cannot create a virtual environment: install its venv module (Debian: apt install python3-venv)."
    install_torch "$lock"
    say "[3/4] $(grep -c '==' "$lock") packages of $lock"
    install "$(grep -c '==' "$lock")" -r "$lock"
    say "[4/4] this repository"
    install 1 -e .
    compile_rest
    cp requirements.lock .venv/ # the test lock includes all of it
    cp "$lock" .venv/
    say "      finished in $SECONDS s"
}

environment() { # set PYTHON to an interpreter with the packages of the lock $1
    PYTHON=${CCUTILS_PYTHON:-}
    [ -n "$PYTHON" ] || PYTHON=$(active_python "$1") || { set_up "$1"; PYTHON=$PWD/.venv/bin/python; }
}

run_tests() { # run all checks, even if one fails, then pytest
    local status=0
    "$PYTHON" -m ruff check . || status=1
    "$PYTHON" -m ruff format --check . || status=1
    "$PYTHON" -m mypy || status=1
    "$PYTHON" -c 'from importlinter.cli import lint_imports_command as lint; lint()' || status=1
    [ $status = 0 ] || say "some checks above failed; running the tests"
    # All tests of a file run in one of two workers, each with one thread.
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$PYTHON" -m pytest --numprocesses 2 --dist loadfile "$@" || status=1
    return $status
}

if [ "${1:-}" = test ]; then
    shift
    environment requirements-dev.lock
    if [ "${1:-}" = slow ]; then
        shift
        exec "$PYTHON" -m pytest -m slow "$@"
    fi
    run_tests "$@"
    exit
fi
answer() { # call function $2 of module $1: --help and errors in options, before anything is installed
    local module=$1 function=$2 python option
    shift 2
    python=${CCUTILS_PYTHON:-$(find_python)}
    "$python" -c "import sys; from ccutils.chain.$module import $function as c; sys.exit(c(sys.argv[1:]))" "$@"
    for option in "$@"; do
        case $option in -h | --help) exit ;; esac
    done
}

if [ "${1:-}" = docs ]; then
    shift
    answer site refuse_options "$@"
    environment requirements-dev.lock
    exec "$PYTHON" -m ccutils.chain.site "$@"
fi
answer cli refuse_options "$@"
environment requirements.lock
exec "$PYTHON" -m ccutils.chain.cli "$@"
