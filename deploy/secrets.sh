#!/bin/sh
# Makes the secrets of an installation as files: compose mounts them, Kubernetes makes its Secrets from them.
#
# usage: FAL_KEY=… deploy/secrets.sh [DIRECTORY] [STORE]
#   DIRECTORY  .filmgate/secrets (the default)
#   STORE      host and port of the store, redis:6379 by default
#
# What is there already stays as it is: run it again after an update of Filmgate, which may need more files. To change
# a secret, delete its file first. store_acl has the rights of the store's users, and the hashes of the passwords in
# store_url_*: it is made again from these when it is deleted. After an update it gets that version's rights, and keeps
# its hashes and users of your own. When it was made again, the store must read it again.
set -eu
umask 077

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
refuse() {
    echo "$1" >&2
    exit "${2:-1}"
}
case "${1:-}" in
-h | --help) usage && exit ;;
-*) refuse "$1 is no option; see $0 --help." 2 ;;
esac
[ $# -le 2 ] || refuse "Give a directory and a store, and nothing more; see $0 --help." 2

directory=${1:-.filmgate/secrets}
store=${2:-redis:6379}
rules=$(cd "$(dirname "$0")" && pwd)/redis/users.acl
[ -r "$rules" ] || refuse "$rules, with the rights of the store's users, cannot be read; it belongs to this script."

if command -v sha256sum >/dev/null; then
    sha256() { sha256sum | cut -d ' ' -f 1; }
elif command -v shasum >/dev/null; then
    sha256() { shasum -a 256 | cut -d ' ' -f 1; } # macOS
else
    refuse "Neither sha256sum nor shasum is installed: install one of them."
fi
word() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
has() { [ -s "$directory/$1" ]; }

# Puts standard input into a file, whole or not at all, and never nothing. The containers' users are not this user, so
# everybody may read it; the directory is closed to all others.
keep() {
    cat >"$directory/.$1.new"
    if [ ! -s "$directory/.$1.new" ]; then
        rm -f "$directory/.$1.new"
        refuse "$directory/$1 could not be made."
    fi
    chmod 444 "$directory/.$1.new"
    mv -f "$directory/.$1.new" "$directory/$1"
}

mkdir -p "$directory"
chmod 700 "$directory"

if ! has fal_key; then
    [ -n "${FAL_KEY:-}" ] || refuse "FAL_KEY is not set: FAL_KEY=… $0 $directory"
    printf %s "$FAL_KEY" | keep fal_key
fi
for name in admin_key hook_secret; do
    has "$name" || word | keep "$name"
done

# The store's users; their passwords are in the URLs, and their hashes in the store's list, which is made last.
for role in api worker admin; do
    if has "store_url_$role"; then
        if [ $# -eq 2 ] && ! grep -qF "@$store" "$directory/store_url_$role"; then
            echo "$directory/store_url_$role leads to another store than $store; it stays as it is." >&2
        fi
    elif has store_acl; then
        refuse "$directory/store_url_$role is missing, and store_acl has only the hash of its password. Put the file back; or
delete store_acl, run this again, and let the store and its clients start with the new files."
    else
        printf %s "redis://$role:$(word)@$store/0" | keep "store_url_$role"
    fi
done

# The hash of a user's password: in the list that is there, or else of the password in the URL.
hash_of() {
    if has store_acl; then
        sed -n "s/^user $1 .*#\([0-9a-f]\{64\}\).*/\1/p" "$directory/store_acl"
        return
    fi
    password=$(sed -n "s|^[a-z+]*://$1:\([^@/%]*\)@.*|\1|p" "$directory/store_url_$1")
    [ -z "$password" ] || printf %s "$password" | sha256
}
list_of_users() {
    sed -e '/^#/d' -e "${edits#;}" "$rules"
    ! has store_acl || grep -vE '^user (default|api|worker|admin) ' "$directory/store_acl" || true
}
edits=""
for role in api worker admin; do
    hash=$(hash_of "$role")
    if [ -n "$hash" ]; then
        edits="$edits;s/HASH_OF_$role/$hash/"
    elif has store_acl; then
        refuse "$directory/store_acl has no hash of a password of a user $role, so its rights cannot be renewed: delete it, and
run this again to make it from the passwords in store_url_*."
    else
        refuse "$directory/store_url_$role has no plain password of a user $role to make store_acl from."
    fi
done
if ! has store_acl; then
    list_of_users | keep store_acl
elif [ "$(list_of_users)" != "$(cat "$directory/store_acl")" ]; then
    list_of_users | keep store_acl
    echo "$directory/store_acl has the rights of this version now: let the store read it again (docs/store.md)." >&2
fi
echo "The secrets are in $directory."
