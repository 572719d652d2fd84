"""A team with one user and one key."""

from app.services.administration import Administration, NewAccount

ACTOR = "test"


async def new_account(administration: Administration, *, team_name: str, user_name: str) -> NewAccount:
    """Add a team with one user and one key, which is the user's only one."""
    team = await administration.add_team(ACTOR, name=team_name)
    user = await administration.add_user(ACTOR, team=team.id, name=user_name)
    return NewAccount(team, user, (await administration.add_key(ACTOR, user=user.id)).key)
