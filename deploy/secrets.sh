#!/bin/sh
# Makes the secrets of an installation as files: compose mounts them, Kubernetes makes its Secrets from them.
#
# usage: FAL_KEY=… deploy/secrets.sh [DIRECTORY] [STORE]
#   DIRECTORY  .filmgate/secrets (the default)
#   STORE      host and port of the store, redis:6379 by default
#
# What is there already stays as it is: run it again after an update of Filmgate, which may need more files. To change
# a secret, delete its file first; the store's four files (store_acl and store_url_*) belong together.
set -eu
umask 077

directory=${1:-.filmgate/secrets}
store=${2:-redis:6379}
rules=$(cd "$(dirname "$0")" && pwd)/redis/users.acl

if command -v sha256sum >/dev/null; then
    sha256() { sha256sum | cut -d ' ' -f 1; }
else
    sha256() { shasum -a 256 | cut -d ' ' -f 1; } # macOS
fi
word() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# Puts standard input into a file, whole or not at all. The containers' users are not this user, so everybody may read
# it; the directory is closed to all others.
keep() {
    cat >"$directory/.$1.new"
    chmod 444 "$directory/.$1.new"
    mv "$directory/.$1.new" "$directory/$1"
}

mkdir -p "$directory"
chmod 700 "$directory"

if [ ! -e "$directory/fal_key" ]; then
    if [ -z "${FAL_KEY:-}" ]; then
        echo "FAL_KEY is not set: FAL_KEY=… deploy/secrets.sh $directory" >&2
        exit 1
    fi
    printf %s "$FAL_KEY" | keep fal_key
fi
for name in admin_key hook_secret; do
    [ -e "$directory/$name" ] || word | keep "$name"
done

# The store's users; their passwords are in the URLs, and their hashes in the store's list.
if [ ! -e "$directory/store_acl" ]; then
    edits=""
    for role in api worker admin; do
        password=$(word)
        printf %s "redis://$role:$password@$store/0" | keep "store_url_$role"
        hash=$(printf %s "$password" | sha256)
        edits="$edits;s/HASH_OF_$role/$hash/"
    done
    sed -e '/^#/d' -e "${edits#;}" "$rules" | keep store_acl
fi
echo "The secrets are in $directory."
