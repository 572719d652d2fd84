"""Positions in line: the closed form against a simulation, turn by turn."""

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.line import LinePosition, QueueState, TeamWaiting, UserWaiting, position

PRICE = 1_400_000
VIRTUAL_TIMES = st.integers(0, 12).map(lambda turns: float(turns * 233_333))
USERS = st.dictionaries(
    st.sampled_from(["user_1", "user_2", "user_3"]), st.tuples(VIRTUAL_TIMES, st.integers(1, 6)), min_size=1
)
WAITING = st.dictionaries(
    st.sampled_from(["team_a", "team_b", "team_c"]), st.tuples(st.integers(1, 9), VIRTUAL_TIMES, USERS), min_size=1
)


def serve(queue: QueueState, micro: int) -> list[tuple[str, str, int]]:
    """Team, user and rank of each turn: the lowest virtual time first, then the name that sorts first."""
    teams = {name: team.virtual_time for name, team in queue.items()}
    users = {(team, name): user.virtual_time for team, found in queue.items() for name, user in found.users.items()}
    left = {ours_at: queue[ours_at[0]].users[ours_at[1]].jobs for ours_at in users}
    order = []
    while left:
        team = min({team for team, _ in left}, key=lambda name: (teams[name], name))
        user = min((name for of, name in left if of == team), key=lambda name: (users[team, name], name))
        order.append((team, user, queue[team].users[user].jobs - left[team, user]))
        teams[team] += micro // queue[team].weight
        users[team, user] += micro
        left[team, user] -= 1
        if left[team, user] == 0:
            del left[team, user]
    return order


def waiting(asked: dict[str, tuple[int, float, dict[str, tuple[float, int]]]]) -> QueueState:
    """The queue's state for the drawn example."""
    return {
        team: TeamWaiting(weight, virtual_time, {user: UserWaiting(*row) for user, row in users.items()})
        for team, (weight, virtual_time, users) in asked.items()
    }


def position_in(queue: QueueState, team: str, user: str, rank: int) -> LinePosition:
    """A job's position."""
    own = queue[team]
    return LinePosition(team, own.weight, own.virtual_time, user, own.users[user].virtual_time, rank)


@example(  # 1,400,000 / 9 is no whole number: rounded up, team_b's second turn would be team_a's first
    queue=waiting({"team_a": (1, 155_556.0, {"user_1": (0.0, 1)}), "team_b": (9, 0.0, {"user_1": (0.0, 2)})}),
    micro=PRICE,
)
@given(WAITING.map(waiting), st.sampled_from([PRICE, 233_333, 1, 0]))
def test_each_place_is_the_number_of_turns_before_it(queue: QueueState, micro: int) -> None:
    """For any waiting jobs, virtual times and weights, and jobs of one price."""
    order = serve(queue, micro)
    positions = [position(queue, position_in(queue, *turn), micro=micro) for turn in order]
    assert positions == list(range(len(order)))


def test_a_paused_team_is_not_ahead_of_anybody() -> None:
    """Its jobs are not served before ours, however low its virtual time."""
    one = {"user": UserWaiting(0, 5)}
    ours, theirs = TeamWaiting(1, 7.0, one), TeamWaiting(1, 0.0, one)
    ours_at = LinePosition("team_b", 1, 7.0, "user", 0, 0)
    assert position({"team_a": theirs, "team_b": ours}, ours_at, micro=PRICE) == 1
    paused = TeamWaiting(1, 0.0, one, paused=True)
    assert position({"team_a": paused, "team_b": ours}, ours_at, micro=PRICE) == 0


def test_an_empty_line_gives_position_0() -> None:
    """The first position is 0."""
    assert position({}, LinePosition("team", 1, 5.0, "user", 5.0, 0), micro=PRICE) == 0
