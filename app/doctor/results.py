"""The result of a check, and how checks run: together, each with a limit of time, none ends the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

CHECK_SECONDS = 12.0  # of one check; all run together

# fault: something does not work, or money or jobs may be lost. warning: it will, or it may be a mistake.
# skipped: it could not be checked, because of another fault, or does not apply.
CheckState: TypeAlias = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found: one word for what was checked, a sentence, and a remedy unless all is well."""

    check: str
    state: CheckState
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> CheckResult:
    """All is well."""
    return CheckResult(check, "ok", message)


def warning(check: str, message: str, remedy: str) -> CheckResult:
    """It works, and may not for long, or not as it is meant."""
    return CheckResult(check, "warning", message, remedy)


def fault(check: str, message: str, remedy: str) -> CheckResult:
    """It does not work, or something may be lost."""
    return CheckResult(check, "fault", message, remedy)


def skipped(check: str, message: str) -> CheckResult:
    """It could not be checked, or does not apply."""
    return CheckResult(check, "skipped", message)


Check: TypeAlias = Callable[[], AsyncIterator[CheckResult]]


async def run_checks(checks: Sequence[tuple[str, Check]], *, seconds: float = CHECK_SECONDS) -> list[CheckResult]:
    """The results of all checks, by name, in their order. A check that hangs or breaks is a fault of its own."""
    found = await asyncio.gather(*(_run(name, check, seconds) for name, check in checks))
    return [result for results in found for result in results]


async def _run(name: str, check: Check, seconds: float) -> list[CheckResult]:
    results: list[CheckResult] = []
    try:
        async with asyncio.timeout(seconds):
            async for result in check():
                results.append(result)  # noqa: PERF401  what came before a failure is kept
    except TimeoutError:
        remedy = "look whether what it asks (the store, fal, the storage, a disk) hangs."
        results.append(fault(name, f"The check did not end within {seconds:.0f} s.", remedy))
    except Exception as error:  # noqa: BLE001  a bug in one check must not hide the results of the others
        remedy = "the other checks are not affected; report this with the version."
        results.append(fault(name, f"The check itself failed ({type(error).__name__}).", remedy))
    return results
