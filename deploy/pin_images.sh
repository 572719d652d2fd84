#!/bin/sh
# Renews the digests of the images that the Dockerfile, docker-compose.yml and deploy/kubernetes name, as
# NAME:TAG@sha256:…: each gets the digest that its tag has now. To move to another tag, change the tag and run this.
#
# usage: deploy/pin_images.sh [--check] [NAME …]
#   --check  changes nothing: each digest must exist in its registry; says which tags have moved on. A release runs it.
#   NAME     only these images, such as redis
#
# Asks the registry with skopeo, or with docker's buildx.
set -eu

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
check=""
case "${1:-}" in
-h | --help) usage && exit ;;
--check)
    check=yes
    shift
    ;;
-*)
    echo "$1 is no option; see $0 --help." >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

if command -v skopeo >/dev/null; then
    digest() { skopeo inspect --no-tags --format '{{.Digest}}' ${SKOPEO_OPTIONS:-} "docker://$1"; }
elif docker buildx version >/dev/null 2>&1; then
    digest() { docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"; }
else
    echo "Neither skopeo nor docker buildx is installed: install one of them, and run this again." >&2
    exit 1
fi

pinned='[a-z0-9][a-z0-9./:_-]*:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}'
files=$(grep -rlE --include=Dockerfile --include='*.yml' --include='*.yaml' "$pinned" Dockerfile docker-compose.yml deploy)
failed=""
for image in $(grep -hoE "$pinned" $files | sort -u); do
    named=${image%@*} old=${image#*@}
    name=${named%:*}
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    if ! new=$(digest "$named"); then
        echo "$named: its registry does not say what it is." >&2
        failed=yes
    elif [ -z "$check" ] && [ "$new" != "$old" ]; then
        sed -i.old "s|$named@$old|$named@$new|" $files
        for file in $files; do rm -f "$file.old"; done
        echo "$named: $new (was $old)"
    elif [ "$new" = "$old" ]; then
        echo "$named: $old"
    elif digest "$name@$old" >/dev/null; then
        echo "$named: $old exists; the tag is now $new"
    else
        echo "$named: $old does not exist; the tag is $new. Run deploy/pin_images.sh." >&2
        failed=yes
    fi
done
[ -z "$failed" ]
