"""Who may see and do what: users their own jobs, with a scope the team's; a browser token only its own."""

from collections.abc import Iterable

from app.domain.accounts import Caller, Scope
from app.domain.counting import counted
from app.domain.errors import Code, Forbidden
from app.domain.jobs import Job

MAX_NAMED = 3  # of a key's models or web pages, in a sentence


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
    """Forbidden when the key lacks the scope; the command of the sentence keeps what the key may do."""
    if not allows(caller, scope):
        wanted = " ".join(f"--scope {one.value}" for one in Scope if one is scope or one in caller.scopes)
        command = f"filmgate keys create NAME {wanted}"
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


def allows_model(caller: Caller, model_id: str) -> bool:
    """True when the key is not restricted to other models."""
    return caller.models is None or model_id in caller.models


def require_model(caller: Caller, model_id: str) -> None:
    """Forbidden when the key is restricted to other models."""
    if not allows_model(caller, model_id):
        only = _some(caller.models or ())
        raise Forbidden(f"The key may not use this model, only {only}.", code=Code.MODEL_NOT_ALLOWED)


def not_from_here(origins: Iterable[str]) -> Forbidden:
    """The key or token is for these web pages only, and the request comes from none of them."""
    sentence = f"The key may be used by web pages of {_some(origins)} only."
    return Forbidden(sentence, code=Code.ORIGIN_NOT_ALLOWED)


def _some(names: Iterable[str]) -> str:
    """The first of them, and how many others there are."""
    named = sorted(names)
    others = len(named) - MAX_NAMED
    return ", ".join(named[:MAX_NAMED]) + (f" and {counted(others, 'other')}" if others > 0 else "")
