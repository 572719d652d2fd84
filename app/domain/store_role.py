"""Who talks to the store; each may have a user of its own there."""

from enum import StrEnum


class StoreRole(StrEnum):
    """`filmgate serve`, `filmgate worker`, any other command; or one user for all of them."""

    API = "api"
    WORKER = "worker"
    ADMIN = "admin"
    ALL = "filmgate"
