"""When an alarm is told, and how long a failing receiver is left alone."""

import pytest

from app.domain.alarms import Alarm
from app.domain.alerts import (
    MAX_BACKOFF_MS,
    MAX_RETRY_AFTER_MS,
    REPEAT_MS,
    WORSE_MS,
    ActiveAlarm,
    Receiver,
    after_failure,
    backoff_ms,
    due_messages,
)
from app.settings import SettingsError, load_settings

NOW = 1_764_000_000_000
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBvcGVyYXRvcnMgaW4gdGVzdHM="


@pytest.mark.parametrize(
    ("kind", "sent", "before_ms", "level", "event"),
    [
        ("held", 0, 0, 0, "alarm.raised"),
        ("held", 1, REPEAT_MS["page"] - 1, 0, None),
        ("held", 1, REPEAT_MS["page"], 0, "alarm.repeated"),
        ("held", 1, WORSE_MS - 1, 1, None),
        ("held", 1, WORSE_MS, 1, "alarm.repeated"),
        ("a kind of another version", 1, REPEAT_MS["page"], 0, None),
        ("a kind of another version", 1, REPEAT_MS["note"], 0, "alarm.repeated"),
    ],
)
def test_when_an_active_alarm_is_told(kind: str, sent: int, before_ms: int, level: int, event: str | None) -> None:
    """At once; then by its severity's interval, or five minutes after it became worse."""
    alarm = ActiveAlarm("1-0", Alarm(NOW - 10, kind, "x"), level, sent, NOW - before_ms)
    found = [message.event for _, message in due_messages([alarm], NOW)]
    assert found == ([] if event is None else [event])


def test_the_pause_doubles_and_is_bounded() -> None:
    """From a second to a minute; a Retry-After makes it longer, up to an hour, and never shorter."""
    assert [backoff_ms(failures, None) for failures in (1, 2, 3, 6, 7, 500)] == [
        1000,
        2000,
        4000,
        32_000,
        MAX_BACKOFF_MS,
        MAX_BACKOFF_MS,
    ]
    assert backoff_ms(1, 90) == 90_000
    assert backoff_ms(500, 1) == MAX_BACKOFF_MS
    assert backoff_ms(1, 10**9) == MAX_RETRY_AFTER_MS


def test_only_refusals_of_one_message_in_a_row_are_counted() -> None:
    """An outage before, or between, or another message's refusal does not give it up."""

    def failed(before: Receiver, message: str, status: int | None) -> Receiver:
        return after_failure(before, message, now_ms=NOW, status=status, error="x", retry_after_s=None)

    state = Receiver()
    for _ in range(9):
        state = failed(state, "a", None)
    assert (state.failures, state.refused) == (9, 0)
    state = failed(failed(state, "a", 400), "a", 422)
    assert (state.failures, state.refused) == (11, 2)
    assert failed(state, "b", 400).refused == 1
    assert failed(state, "a", 503).refused == 0


REFUSED = {
    "without its secret": ({"FILMGATE_ALERT_WEBHOOK": "https://a.example.com/x"}, "without FILMGATE_ALERT_SECRET"),
    "no URL": ({"FILMGATE_ALERT_WEBHOOK": "alerts.example.com"}, "FILMGATE_ALERT_WEBHOOK must be a URL"),
    "with a user": ({"FILMGATE_ALERT_WEBHOOK": "https://me@a.example.com"}, "FILMGATE_ALERT_WEBHOOK must be a URL"),
    "with a fragment": ({"FILMGATE_ALERT_WEBHOOK": "https://a.example.com/#x"}, "must be a URL"),
    "port": ({"FILMGATE_ALERT_WEBHOOK": "https://a.example.com:99999/"}, "must be a URL"),
    "plain http": ({"FILMGATE_ALERT_WEBHOOK": "http://hooks.example.com/x"}, "must be https, unless"),
    "secret without prefix": ({"FILMGATE_ALERT_SECRET": SECRET[6:]}, "FILMGATE_ALERT_SECRET must be whsec_"),
    "short secret": ({"FILMGATE_ALERT_SECRET": "whsec_c2VjcmV0"}, "FILMGATE_ALERT_SECRET must be whsec_"),
    "secret no base64": ({"FILMGATE_ALERT_SECRET": "whsec_" + "!" * 44}, "FILMGATE_ALERT_SECRET must be whsec_"),
    "form": ({"FILMGATE_ALERT_FORM": "teams"}, "FILMGATE_ALERT_FORM"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_of_the_receiver_that_are_refused(case: str) -> None:
    """With the setting's name, and never with the secret or the URL."""
    environment, sentence = REFUSED[case]
    with pytest.raises(SettingsError) as refused:
        load_settings(environment)
    assert sentence in str(refused.value)
    assert "example.com/x" not in str(refused.value)
    assert SECRET[10:30] not in str(refused.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"FILMGATE_ALERT_WEBHOOK": "https://hooks.slack.com/services/T0/B0/x", "FILMGATE_ALERT_FORM": "slack"},
        {"FILMGATE_ALERT_WEBHOOK": "http://alerts.internal:9000/in?team=a", "FILMGATE_ALERT_SECRET": SECRET},
        {"FILMGATE_ALERT_WEBHOOK": "http://[::1]:9000/", "FILMGATE_ALERT_SECRET": SECRET},
    ],
)
def test_settings_of_the_receiver_that_are_taken(environment: dict[str, str]) -> None:
    """Slack's without a secret; a private host by http; the URL is a secret, and not shown."""
    settings = load_settings(environment)
    assert settings.alert_webhook is not None
    assert settings.alert_webhook.get_secret_value() == environment["FILMGATE_ALERT_WEBHOOK"]
    assert "9000" not in repr(settings)
    assert "slack.com" not in repr(settings)
