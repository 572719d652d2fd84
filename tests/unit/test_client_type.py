"""The type that we declare for redis-py's client matches redis-py."""

import inspect
from types import SimpleNamespace
from typing import Any, get_overloads

import pytest
from redis.asyncio.client import Pipeline as RedisPipeline

from app.store.client import Client, Pipeline
from app.store.connection import StoreClient


@pytest.mark.parametrize(("ours", "theirs"), [(Client, StoreClient), (Pipeline, RedisPipeline)])
def test_redis_py_has_each_method_that_its_type_names(ours: type, theirs: type) -> None:
    """Each exists and accepts the arguments that are passed by name, so a renamed one is noticed."""
    missing = []
    for name, method in vars(ours).items():
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        known = inspect.signature(getattr(theirs, name)).parameters.values()
        names = {one.name for one in known}
        stand_in: Any = SimpleNamespace(__module__=ours.__module__, __qualname__=f"{ours.__name__}.{name}")
        for form in get_overloads(stand_in) or [method]:
            given = inspect.signature(form).parameters.values()
            missing += [
                f"{name}({one.name})"
                for one in given
                if one.kind is one.KEYWORD_ONLY and one.name not in names
                if inspect.Parameter.VAR_KEYWORD not in {parameter.kind for parameter in known}
            ]
    assert missing == []
