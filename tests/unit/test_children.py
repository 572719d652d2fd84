"""When a child process that died may be started again."""

from app.children import Restarts


def test_a_child_that_always_dies_is_started_again_for_as_long_as_it_takes() -> None:
    """Later and later, up to some seconds; after hours of deaths in a row that still ends nothing."""
    restarts = Restarts()
    assert restarts.due
    for _ in range(2000):
        restarts.started()
        restarts.died()
    assert not restarts.due
