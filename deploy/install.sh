#!/bin/sh
# Installs Filmgate into a new virtual environment: the locked packages, then the project as a wheel.
# The Dockerfile runs this, and so does tests/e2e/test_image.py.
#
# usage: deploy/install.sh TARGET [LOCK]
#   TARGET  the environment's directory, which must not exist yet
#   LOCK    requirements-server.lock (what `serve` and `worker` need; the default),
#           or requirements.lock (with the emulator and the embedded store)
#
# When it fails or is stopped, TARGET is removed again.
set -eu

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
refuse() {
    echo "$1" >&2
    exit "${2:-1}"
}
case "${1:-}" in
-h | --help) usage && exit ;;
-*) refuse "$1 is no option; see $0 --help." 2 ;;
esac
[ $# -eq 1 ] || [ $# -eq 2 ] || refuse "Give the directory to install to; see $0 --help." 2

target=$1
lock=${2:-requirements-server.lock}
allowed_pth=""  # a .pth file runs code at every start of Python; names allowed here are separated by spaces

source=$(cd "$(dirname "$0")/.." && pwd)
[ ! -e "$target" ] || refuse "$target exists already; remove it first."
[ -f "$source/$lock" ] || refuse "$source has no $lock; see $0 --help." 2
work=$(mktemp -d)
unfinished=""
clean() {
    rm -rf "$work"
    [ -z "$unfinished" ] || rm -rf "$unfinished"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM

# 1. The tools, outside the environment: an installer and the build backend stay out of what is shipped.
python3 -m pip install --quiet --require-hashes --target "$work/tools" -r "$source/requirements-tools.lock"

# 2. The locked packages.
unfinished=$target
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
            refuse "$found would run at every start of Python and is not allowed."
            ;;
    esac
done <"$work/pth"
unfinished=""
