"""`./dev mutants`: remove one protection at a time, and require that a test fails.

Works on a copy of the tree; the checkout is not changed. First the chosen tests must pass on the unchanged copy;
then each mutation is made, tested, and reverted. Ends with a table; exit code 1 when a protection could be missing
without a failing test. Not part of `./dev test`: it runs some minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
GREEN, RED = 0, 1  # pytest's exit codes
LIMIT_S = 300.0  # for the tests of one mutation


@dataclass(frozen=True)
class Mutation:
    """One removed protection: `old` is once in `path`, and becomes `new`; `tests` should notice."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


SUBMIT = "tests/integration/test_submit_step.py"
MOVES = "tests/integration/test_advance.py"
MONEY = "tests/integration/test_money.py"
LIMITS = "tests/integration/test_limits.py"
ASIDE = "tests/integration/test_set_aside.py"
DRAINING = "tests/integration/test_draining.py"
MUTATIONS = (
    Mutation(
        "the pause before the port closes",
        "app/cli/api_server.py",
        "elif sig == signal.SIGINT or not self.started or self._drain_s == 0:",
        "elif self._signals:",
        (f"{DRAINING}::test_readiness_fails_first_and_what_arrives_then_is_served",),
    ),
    Mutation(
        "a drained connection is closed",
        "app/api/connections.py",
        "if is_draining(self.app_state):",
        "if not self.app_state:",
        (f"{DRAINING}::test_readiness_fails_first_and_what_arrives_then_is_served",),
    ),
    Mutation(
        "a certificate's own context",
        "app/certificate.py",
        "connection.context = self._pair.context",
        "connection.context = self.context",
        ("tests/integration/test_certificates.py::test_a_renewed_certificate_is_shown_and_a_bad_one_is_not",),
    ),
    Mutation(
        "the nonce fence",
        "app/store/lua/advance.lua",
        "if (arg.nonce ~= '' and before[2] ~= arg.nonce) or",
        "if (arg.nonce ~= '' and not before[1]) or",
        (f"{MOVES}::test_a_stale_nonce_changes_nothing",),
    ),
    Mutation(
        "the state test",
        "app/store/lua/advance.lua",
        "if not status or not string.find(',' .. arg.from_states .. ',', ',' .. status .. ',', 1, true) then",
        "if not status or not string.find(',' .. arg.from_states .. ',', ',', 1, true) then",
        (f"{MOVES}::test_an_end_is_final", f"{MOVES}::test_of_ten_ways_out_one_is_taken"),
    ),
    Mutation(
        "the slot test at the claim",
        "app/store/lua/advance.lua",
        "not redis.call('ZSCORE', key.slots, arg.ref)",
        "not key.slots",
        (f"{MOVES}::test_a_claim_without_a_slot_is_refused",),
    ),
    Mutation(
        "the reserve",
        "app/store/lua/admit.lua",
        "redis.call('HSET', key.reservations, arg.id, arg.amount)\n",
        "redis.call('HLEN', key.reservations)\n",
        (f"{MONEY}::test_a_success_is_spent_at_the_quoted_price",),
    ),
    Mutation(
        "the limit check",
        "app/store/lua/admit.lua",
        "if over then",
        "if over and not states then",
        (f"{LIMITS}::test_one_limit_in_the_way_keeps_all_owners_sums_untouched",),
    ),
    Mutation(
        "the idempotency answer",
        "app/store/lua/admit.lua",
        "elseif first then",
        "elseif first == 0 then",
        ("tests/integration/test_api_idempotency.py::test_a_repeat_changes_nothing",),
    ),
    Mutation(
        "the release that happens once",
        "app/store/lua/lib/money.lua",
        "  redis.call('HDEL', reservations_key, id)\n",
        "",
        (MONEY,),
    ),
    Mutation(
        "the hold of an unknown outcome",
        "workers/submit.py",
        "await store.hold(job, nonce=nonce, reason=reason)",
        "await store.requeue(job, nonce=nonce, wait_ms=0)",
        (f"{SUBMIT}::test_an_unknown_outcome_is_held_and_never_sent_again",),
    ),
    Mutation(
        "the address check at the socket",
        "app/webhooks/transport.py",
        "        self._check(request.url, host, addresses)\n",
        "",
        ("tests/unit/test_egress.py",),
    ),
    Mutation(
        "the signature check of fal's webhooks",
        "app/fal/signature.py",
        'raise NotGenuine("signature")',
        "pass",
        ("tests/unit/test_fal_signature.py",),
    ),
    Mutation(
        "the clocks before the claim",
        "workers/submit.py",
        "if now_ms >= min(job.deadline_ms, job.start_deadline_ms or job.deadline_ms):",
        "if now_ms < 0:",
        ("tests/integration/test_cancel.py",),
    ),
    Mutation(
        "the end of what kills its workers",
        "app/store/lua/acquire_step.lua",
        ">= tonumber(arg.max_crashes) then",
        ">= tonumber(arg.max_crashes) + 1000 then",
        ("tests/integration/test_poison.py::test_the_third_worker_does_not_take_it_up",),
    ),
    Mutation(
        "half a character made whole",
        "app/domain/foreign_json.py",
        "                return replace_half_surrogates(value)",
        "                return value",
        ("tests/integration/test_odd_answers.py::test_half_a_character_in_a_log_line_costs_itself",),
    ),
    Mutation(
        "failures of a step are counted",
        "app/store/lua/count_failure.lua",
        "if failures < tonumber(arg.max_failures) then",
        "if failures > 0 then",
        (f"{ASIDE}::test_what_is_set_aside_goes_on_when_it_is_released",),
    ),
    Mutation(
        "the slot of what is set aside",
        "app/store/lua/count_failure.lua",
        "redis.call('ZREM', key.slots, arg.ref)",
        "redis.call('ZSCORE', key.slots, arg.ref)",
        (f"{ASIDE}::test_what_is_set_aside_goes_on_when_it_is_released",),
    ),
    Mutation(
        "the last moment of a running job",
        "app/store/lua/advance.lua",
        "redis.call('ZADD', key.due_expire, digits(math.max(now, owner[4]) + arg.give_up_ms), arg.ref)",
        "redis.call('ZREM', key.due_expire, arg.ref)",
        (f"{ASIDE}::test_a_job_whose_end_fal_never_tells_is_given_up",),
    ),
    Mutation(
        "fal's words are erased",
        "app/store/jobs.py",
        "job.error.without_upstream_text()",
        "job.error",
        ("tests/integration/test_odd_answers.py::test_what_is_erased_is_erased_in_errors_too",),
    ),
)


def say(sentence: str) -> None:
    """Print one line, flushed."""
    print(sentence, flush=True)  # noqa: T201  a command's output


def outcome(tree: Path, tests: tuple[str, ...], *, stop_early: bool) -> int | None:
    """Pytest's exit code for these tests in the copy; None when they did not end in time."""
    first = ["-x"] if stop_early else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *first, *tests]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAL_", "FILMGATE_"))}
    env = {**kept, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(  # noqa: S603  our own tests
        command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            output, _ = running.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            running.terminate()  # no effect when it has ended
    if running.returncode not in {GREEN, RED} or (running.returncode == RED and not stop_early):
        say(output[-2000:])
    return running.returncode


def verdict(tree: Path, mutation: Mutation) -> str:
    """`noticed`, or what is wrong; afterwards the copy is unchanged."""
    file = tree / mutation.path
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return f"CANNOT BE MADE: the text stands {text.count(mutation.old)} times in {mutation.path}"
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        code = outcome(tree, mutation.tests, stop_early=True)
    finally:
        file.write_text(text, encoding="utf-8")
    if code == RED:
        return "noticed"
    return "SURVIVED" if code == GREEN else f"NO ANSWER: pytest ended with {code}"


def main(words: list[str]) -> int:
    """Try every mutation, or those whose names contain one of the words; 1 when one was not noticed."""
    chosen = [one for one in MUTATIONS if not words or any(word in one.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="filmgate-mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        asked = tuple(sorted({test for one in chosen for test in one.tests}))
        say(f"Running {len(asked)} files of tests as they are …")
        if outcome(tree, asked, stop_early=False) != GREEN:
            say("They are not green without a mutation; mend them first.")
            return 1
        rows = []
        for one in chosen:
            began = time.monotonic()
            rows.append((one.name, verdict(tree, one)))
            say(f"{one.name:<40} {rows[-1][1]:<10} {time.monotonic() - began:5.1f} s")
    missed = sum(found != "noticed" for _, found in rows)
    say(f"{len(rows) - missed} of {len(rows)} mutations were noticed.")
    return 1 if missed or not rows else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the copy is deleted
    sys.exit(main(sys.argv[1:]))
