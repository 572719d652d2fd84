"""Who may see and do what: a user's own jobs, the team's with a scope, a browser token's with the token."""

from app.domain.accounts import Caller, Scope
from app.domain.errors import Forbidden
from app.domain.jobs import Job


def sees(caller: Caller, job: Job) -> bool:
    """True when the caller may know of this job, which is of the caller's team."""
    if caller.token is not None:
        return job.id == caller.job if caller.job is not None else job.token == caller.token
    return caller.sees_team or job.user == caller.user


def require_scope(caller: Caller, scope: Scope) -> None:
    """Forbidden when the key lacks the scope; the team's scopes imply the user's."""
    implied = {Scope.JOBS_READ: caller.sees_team, Scope.JOBS_WRITE: caller.acts_for_team}
    if scope not in caller.scopes and not implied.get(scope, False):
        raise Forbidden(f"The key lacks the scope {scope.value}.")


def require_control(caller: Caller, job: Job) -> None:
    """Forbidden unless the caller may act on a job that it sees: its own, or the team's with the team's rights."""
    require_scope(caller, Scope.JOBS_WRITE)
    if job.user != caller.user and not caller.acts_for_team:
        raise Forbidden("The key may read this job, not act on it.")


def require_model(caller: Caller, model_id: str) -> None:
    """Forbidden when the key is for other models only."""
    if caller.models is not None and model_id not in caller.models:
        raise Forbidden("The key may not use this model.", code="model_not_allowed")
