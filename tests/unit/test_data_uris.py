"""Data URIs as programs write them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Unprocessable
from app.media.data_uris import is_data_uri, read_data_uri

CONTENT = bytes(range(256)) * 3 + b"\xfb\xff\xfe"  # its base64 has `+` and `/`, and no padding; one byte less has
HEAD = "data:image/png;base64,"


def plain(content: bytes) -> str:
    """Base64 in one line."""
    return base64.b64encode(content).decode()


SPELLINGS = {
    "as most write it": HEAD + plain(CONTENT),
    "upper case": f"DATA:IMAGE/PNG;BASE64,{plain(CONTENT)}",
    "no type": f"data:;base64,{plain(CONTENT)}",
    "an unknown type": f"data:application/octet-stream;base64,{plain(CONTENT)}",
    "an old type": f"data:image/pjpeg;base64,{plain(CONTENT)}",
    "a type of something else": f"data:text/html;base64,{plain(CONTENT)}",
    "parameters": f"data:image/png;charset=utf-8;name=a%20cat.png; base64,{plain(CONTENT)}",
    "wrapped by MIME": HEAD + base64.encodebytes(CONTENT).decode().replace("\n", "\r\n"),
    "wrapped by base64(1)": HEAD + base64.encodebytes(CONTENT).decode(),
    "white space around it": f" \n{HEAD}{plain(CONTENT)} \t\n",
    "more padding than it needs": HEAD + plain(CONTENT) + "==",
    "the URL-safe alphabet": HEAD + base64.urlsafe_b64encode(CONTENT).decode(),
    "percent-encoded": HEAD + plain(CONTENT).replace("+", "%2B").replace("/", "%2f").replace("=", "%3D") + "%0a",
}


@pytest.mark.parametrize("case", SPELLINGS)
@pytest.mark.parametrize("less", [0, 1, 2])
def test_a_data_uri_is_read_as_programs_write_it(case: str, less: int) -> None:
    """The bytes come out; the declared type is ignored. With and without padding."""
    content = CONTENT[: len(CONTENT) - less]
    text = SPELLINGS[case]
    if less:
        text = HEAD + plain(content).rstrip("=")
    assert is_data_uri(text)
    assert read_data_uri(text).content == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "data:",
        "data:,",
        "data:image/png;base64,",
        "data:image/png;base64,====",
        "data:image/png,iVBORw0KGgo=",
        "data:image/png;base64;iVBORw0KGgo=",
        "data:image/png;base64,iVBORw0K Ggo=",
        "data:image/png;base64,iVBORw0KGgo=AAAA",
        "data:image/png;base64,iVBOR",
        "data:image/png;base64,%69VBORw0KGgo=",
        "data:image/png;base64,iVBORw0KGgo!",
        "data:image/png;base64,\u00e9\u00e9\u00e9\u00e9",
        f"data:image/png;{'x' * 300};base64,iVBORw0KGgo=",
        "https://example.com/data:image/png;base64,iVBORw0KGgo=",
    ],
)
def test_a_bad_data_uri_is_refused_without_an_echo(text: str) -> None:
    """Without base64, or with wrong or empty base64; a space inside may have been a plus sign."""
    with pytest.raises(Unprocessable) as caught:
        read_data_uri(text)
    assert caught.value.code == "bad_data_uri"
    assert "iVBOR" not in caught.value.message


def test_an_address_is_no_data_uri() -> None:
    """Only what begins with `data:`, behind white space."""
    assert not any(map(is_data_uri, ("", "https://example.com/data:", "database", " " * 100 + "data:")))


@given(st.binary(min_size=1, max_size=300), st.integers(1, 80), st.booleans(), st.booleans())
def test_every_content_comes_out_however_it_is_wrapped(
    content: bytes,
    width: int,
    safe: bool,  # noqa: FBT001 - drawn
    padded: bool,  # noqa: FBT001 - drawn
) -> None:
    """Any width of lines, both alphabets, with and without padding."""
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(content).decode()
    text = text if padded else text.rstrip("=")
    lines = "\r\n".join(text[start : start + width] for start in range(0, len(text), width))
    assert read_data_uri(HEAD + lines).content == content
