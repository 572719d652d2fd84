"""An S3 server in one process: OpenStack Swift with its S3 API, all four of its servers. `s3_server.py` starts it.

It runs with the packages of `.bootstrap/swift`, not with those of the project: nothing of ours is imported, and
Swift's modules are found when it runs. Arguments: a folder for its files, a port, a bucket, and the users: those in
`owner:secret` may do everything, `stranger:secret` nothing. Its folder may have `google.json`, service accounts by
name with their public key, user and secret: they come in through `google_door.py`.
"""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

TENANT = "filmgate"
SERVERS = ("account", "container", "object")
PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper cache s3api tempauth bulk slo dlo proxy-server

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1

[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = 1

[filter:tempauth]
use = egg:swift#tempauth
{users}

[filter:bulk]
use = egg:swift#bulk

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
"""
# Swift hashes the names of its files with this, and does not start without it.
SWIFT = "[swift-hash]\nswift_hash_path_suffix = filmgate\n\n[storage-policy:0]\nname = whole\ndefault = yes\n"


def write_ring(ring: Any, name: Path, port: int) -> None:
    """The one place where Swift keeps something: one copy, on one device."""
    builder = ring.RingBuilder(1, 1, 1)
    place = {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "disk", "ip": "127.0.0.1", "port": port}
    builder.add_dev(place | {"replication_ip": "127.0.0.1", "replication_port": port})
    builder.rebalance()
    builder.get_ring().save(str(name))


def main(folder: Path, port: int, bucket: str, users: list[str]) -> None:
    """Serve until the process is ended; `{"ready": true}` is printed when the bucket is there."""
    warnings.simplefilter("ignore")  # eventlet says at each start that it is old
    eventlet, wsgi = module("eventlet"), module("eventlet.wsgi")
    (folder / "devices" / "disk").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text(SWIFT)
    utils = module("swift.common.utils")
    utils.monkey_patch()
    utils.set_swift_dir(str(folder))
    swift = module("swift.common.wsgi")
    ring = module("swift.common.ring")

    sockets = {kind: eventlet.listen(("127.0.0.1", 0)) for kind in SERVERS}
    sockets["proxy"] = eventlet.listen(("127.0.0.1", port))
    pool = eventlet.GreenPool()
    for kind, socket in sockets.items():
        own_port = socket.getsockname()[1]
        head = f"[DEFAULT]\nswift_dir = {folder}\ndevices = {folder}/devices\nmount_check = false\n"
        head += f"bind_ip = 127.0.0.1\nbind_port = {own_port}\n"
        rest = PROXY.format(users="\n".join(map(user_line, users)))
        if kind != "proxy":
            rest = f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
            write_ring(ring, folder / f"{kind}.ring.gz", own_port)
        (folder / f"{kind}.conf").write_text(head + rest)
        app = swift.loadapp(str(folder / f"{kind}.conf"), global_conf={})
        if kind == "proxy":
            app = module("google_door").GoogleDoor(app, json.loads((folder / "google.json").read_text()))
        pool.spawn(wsgi.server, socket, app, utils.NullLogger(), protocol=swift.SwiftHttpProtocol)
    made = swift.make_pre_authed_request({}, "PUT", f"/v1/AUTH_{TENANT}/{bucket}").get_response(app)
    print(json.dumps({"ready": made.is_success}), flush=True)  # noqa: T201  whoever started it waits for this
    pool.waitall()


def module(name: str) -> Any:
    """A module of Swift, which the project does not have."""
    return importlib.import_module(name)


def user_line(user: str) -> str:
    """A user of `name:secret`, as tempauth is told; only owners may do something."""
    name, _, secret = user.partition(":")
    return f"user_{TENANT}_{name} = {secret}{' .admin' if name == 'owner' else ''}"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
