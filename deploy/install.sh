#!/bin/sh
# Installs Filmgate into a new virtual environment: the locked packages, then the project as a wheel.
# The Dockerfile runs this, and so does tests/e2e/test_image.py.
#
# usage: deploy/install.sh TARGET [LOCK]
#   TARGET  the environment's directory, which must not exist yet
#   LOCK    requirements-server.lock (what `serve` and `worker` need; the default),
#           or requirements.lock (with the emulator and the embedded store)
set -eu

target=${1:?usage: deploy/install.sh TARGET [LOCK]}
lock=${2:-requirements-server.lock}
allowed_pth=""  # a .pth file runs code at every start of Python; names allowed here are separated by spaces

if [ -e "$target" ]; then
    echo "$target exists already; remove it first." >&2
    exit 1
fi
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 1. The tools, outside the environment: an installer and the build backend stay out of what is shipped.
python3 -m pip install --quiet --require-hashes --target "$work/tools" -r "$source/requirements-tools.lock"

# 2. The locked packages.
python3 -m venv --without-pip "$target"
install() {
    "$work/tools/bin/uv" pip install --quiet --no-config --python "$target/bin/python" --compile-bytecode "$@"
}
install --require-hashes -r "$source/$lock"

# 3. The project, built from this checkout and nothing else.
(cd "$source" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$work/tools" python3 -m hatchling build -t wheel -d "$work/dist")
install --no-deps --offline "$work"/dist/*.whl

# 4. Nothing starts by itself.
find "$target" -name '*.pth' >"$work/pth"
while read -r found; do
    case " $allowed_pth " in
        *" $(basename "$found") "*) ;;
        *)
            echo "$found would run at every start of Python and is not allowed." >&2
            exit 1
            ;;
    esac
done <"$work/pth"
