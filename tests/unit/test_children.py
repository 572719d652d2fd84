"""When a child process that died may be restarted."""

from app.children import Restarts


def test_a_child_that_always_dies_is_restarted_without_end() -> None:
    """After growing pauses, up to some seconds, even after hours of consecutive deaths."""
    restarts = Restarts()
    assert restarts.due
    for _ in range(2000):
        restarts.started()
        restarts.died()
    assert not restarts.due
