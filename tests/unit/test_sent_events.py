"""Events as bytes: each is made once for all streams, and only the newest are kept."""

from app.api.event_stream import KEPT, SentEvents
from app.domain.events import EndpointNotice


def notice(url: str) -> EndpointNotice:
    """An event with this URL."""
    return EndpointNotice("1-0", "endpoint.test", 1, "endpoint", url, None)


def test_an_event_is_encoded_once() -> None:
    """The second stream that sends the same event gets the same bytes; an equal one of another team its own."""
    sent, event, other = SentEvents(), notice("https://example.com"), notice("https://example.com")
    first = sent.encoded(event, base_url="")
    assert first.startswith(b"event: endpoint.test\ndata: {")
    assert sent.encoded(event, base_url="") is first
    assert sent.encoded(other, base_url="") is not first


def test_only_the_newest_events_are_kept() -> None:
    """An older one is encoded again."""
    sent, oldest = SentEvents(), notice("https://example.com")
    first = sent.encoded(oldest, base_url="")
    newer = [notice(f"https://example.com/{number}") for number in range(KEPT)]
    for event in newer:
        assert event.url.encode() in sent.encoded(event, base_url="")
    assert sent.encoded(oldest, base_url="") is not first
