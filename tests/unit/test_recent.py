"""A value of the store that is read for all who ask."""

import asyncio

import pytest

from app.store.recent import Recent

pytestmark = pytest.mark.anyio


class Store:
    """A store whose reads end when the test says so."""

    def __init__(self) -> None:
        self.reads: list[asyncio.Future[int]] = []

    async def read(self) -> int:
        """One read."""
        self.reads.append(asyncio.get_running_loop().create_future())
        return await self.reads[-1]


async def begun(value: Recent[int]) -> asyncio.Task[int]:
    """A caller who has asked."""
    task = asyncio.create_task(value.get())
    await asyncio.sleep(0)
    return task


async def test_while_one_caller_reads_an_old_value_again_the_others_get_it() -> None:
    """One read, whose answer the next callers get."""
    store = Store()
    value = Recent(store.read, seconds=60.0)
    value._kept = (0.0, 1)  # read so long ago that it is old now
    reader = await begun(value)
    assert await value.get() == 1
    store.reads[0].set_result(2)
    assert (await reader, await value.get(), len(store.reads)) == (2, 2, 1)


async def test_after_an_error_and_after_a_change_the_next_caller_reads_again() -> None:
    """An old value does not hide an outage of the store."""
    store = Store()
    value = Recent(store.read, seconds=60.0)
    failing = await begun(value)
    store.reads[0].set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await failing
    for number in (1, 2):
        reader = await begun(value)
        store.reads[number].set_result(number)
        assert await reader == await value.get() == number
        value.forget()
