"""Who may see and do what: users their own jobs, with a scope the team's; a browser token only its own."""

from app.domain.accounts import Caller, Scope
from app.domain.errors import Code, Forbidden
from app.domain.jobs import Job


def visibility_filter(caller: Caller) -> tuple[str, str] | None:
    """The field of a job, and the value it must have for the caller to see the job; None: every job of the team."""
    if caller.token is not None:
        return ("token", caller.token) if caller.job is None else ("id", caller.job)
    return None if caller.sees_team else ("user", caller.user)


def sees(caller: Caller, job: Job) -> bool:
    """True when the caller may see this job of its team."""
    visible = visibility_filter(caller)
    return visible is None or getattr(job, visible[0]) == visible[1]


def allows(caller: Caller, scope: Scope) -> bool:
    """True when the key has the scope; the team's scopes imply the user's."""
    implied = {Scope.JOBS_READ: caller.sees_team, Scope.JOBS_WRITE: caller.acts_for_team}
    return scope in caller.scopes or implied.get(scope, False)


def require_scope(caller: Caller, scope: Scope) -> None:
    """Forbidden when the key lacks the scope."""
    if not allows(caller, scope):
        command = f"filmgate keys create NAME --scope {scope.value}"
        raise Forbidden(f"The key lacks the scope {scope.value}; `{command}` makes one that has it.")


def require_key(caller: Caller) -> None:
    """Forbidden for a browser token: this is for the team's servers, not for visitors of a web page."""
    if caller.token is not None:
        raise Forbidden("A browser token may not do this; use a key.")


def require_team_sight(caller: Caller) -> None:
    """Forbidden unless the caller may see the team's webhook endpoints and their deliveries."""
    require_key(caller)
    if not caller.sees_team:
        require_scope(caller, Scope.TEAM_READ)


def require_control(caller: Caller, job: Job) -> None:
    """Forbidden unless the caller may change a job that it sees: its own, or with `team:admin` any of the team."""
    require_scope(caller, Scope.JOBS_WRITE)
    if job.user != caller.user and not caller.acts_for_team:
        raise Forbidden("The key may read this job, not act on it.")


def require_model(caller: Caller, model_id: str) -> None:
    """Forbidden when the key is restricted to other models."""
    if caller.models is not None and model_id not in caller.models:
        raise Forbidden("The key may not use this model.", code=Code.MODEL_NOT_ALLOWED)
