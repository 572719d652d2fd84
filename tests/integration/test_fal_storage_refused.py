"""What fal's upload routes refuse: in fal's shape, nothing is stored, and no owner is revealed."""

import asyncio
import re

import httpx
import pytest

from app.domain.upload_tokens import UploadToken, write_upload_token
from app.domain.uploads import Part
from tests.integration.refusals import nothing_changes
from tests.integration.uploads import (
    AUTH,
    IN_PARTS,
    INITIATE,
    assert_refused,
    bearing,
    completed,
    cut,
    initiated,
    picture,
    put_parts,
    started,
    upload_token,
    without_key,
)
from tests.support.callers import another_key, calling, colleague, stranger, token
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

MB = 1024 * 1024
NEVER = "file_" + "0" * 32


async def put_file(stack: Stack) -> str:
    """A file of the stack's own user: its URL."""
    upload = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    return upload["file_url"]


# --- permissions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [AUTH, INITIATE, IN_PARTS, "/fal/rest/tokens/", "/fal/cdn/files/upload"])
async def test_without_a_key_nothing_begins(stack: Stack, path: str) -> None:
    """401 with a sentence, and nothing is written."""
    async with without_key(stack) as web, nothing_changes(stack):
        asked = {"allowed_apps": ["kling-video"], "content_type": "image/png", "file_name": "a.png"}
        assert_refused(await web.post(path, json=asked), 401, "key")


@pytest.mark.parametrize("token", ["fg_up_", "fg_up_x.y.1.z", "nonsense", "", "fg_up_" + "é"])
async def test_a_wrong_upload_token_is_401(stack: Stack, token: str) -> None:
    """Whatever the header has, no bytes are accepted."""
    async with without_key(stack) as web:
        for path in ("/fal/cdn/files/upload", "/fal/cdn/files/upload/multipart"):
            headers = [(b"authorization", b"Bearer " + token.encode())]
            assert_refused(await web.post(path, content=picture(), headers=headers), 401)


async def test_a_signature_is_no_upload_token(stack: Stack) -> None:
    """A signature of one upload URL does not allow other uploads."""
    signature = (await initiated(stack.api))["upload_url"].rpartition("=")[2]
    async with without_key(stack) as web:
        headers = bearing("fg_up_" + signature)
        assert_refused(await web.post("/fal/cdn/files/upload", content=picture(), headers=headers), 401)


async def test_an_upload_token_opens_nothing_else(stack: Stack) -> None:
    """It is no key: not for jobs, not for another token, not for a file's URL."""
    address = await put_file(stack)
    async with calling(stack, await upload_token(stack.api)) as api:
        assert (await api.post("/v1/jobs", json=stack.body())).status_code == 401
        assert (await api.get("/v1/me")).status_code == 401
        assert_refused(await api.post(AUTH, json={}), 401)
        assert_refused(await api.get(address), 401)


async def test_an_expired_token_is_401_and_says_so(stack: Stack) -> None:
    """One of ours after its hour, as a token and as an upload URL."""
    secret = await stack.gateway.stores.secrets.of_markers()
    team = stack.account.team.id
    token = write_upload_token(secret, UploadToken(team, "pass_" + "0" * 32, 1_700_000_000_000))
    upload = write_upload_token(secret, UploadToken(team, NEVER, 1_700_000_000_000))
    async with without_key(stack) as web:
        headers = bearing("fg_up_" + token)
        assert_refused(await web.post("/fal/cdn/files/upload", content=picture(), headers=headers), 401, "passed")
        reply = await web.put(f"/fal/cdn/uploads/{NEVER}?signature={upload}", content=picture())
        assert_refused(reply, 401, "passed")


async def test_what_a_revoked_key_began_ends_with_it(stack: Stack) -> None:
    """Its upload token and its signed upload URL accept no more bytes."""
    key = await another_key(stack)
    async with calling(stack, key.key) as api:
        credential, upload = await upload_token(api), await initiated(api)
    await stack.gateway.administration.revoke_key("test", key.record.id)
    async with without_key(stack) as web:
        reply = await web.post("/fal/cdn/files/upload", content=picture(), headers=bearing(credential))
        assert_refused(reply, 401, "revoked")
        assert_refused(await web.put(upload["upload_url"], content=picture()), 401, "revoked")


async def test_a_signature_opens_its_own_place_only(stack: Stack) -> None:
    """Another upload, a changed signature and no signature are 401; an upload token is no signature."""
    mine, other = await initiated(stack.api), await initiated(stack.api)
    path, _, query = mine["upload_url"].partition("?")
    credential = (await upload_token(stack.api)).removeprefix("fg_up_")
    item = credential.split(".")[1]
    changed = query[:-1] + ("0" if query[-1] != "0" else "1")
    later = re.sub(r"\.(\d{13})\.", ".9999999999999.", query)
    addresses = [
        path,
        f"{path}?{changed}",
        f"{path}?{later}",
        f"{other['upload_url'].partition('?')[0]}?{query}",
        f"{path}?signature={credential}",
        f"/fal/cdn/uploads/{item}?signature={credential}",
    ]
    async with without_key(stack) as web, nothing_changes(stack):
        for address in addresses:
            for tail in ("", "/1"):
                where, question, rest = address.partition("?")
                reply = await web.put(f"{where}{tail}{question}{rest}", content=picture())
                assert_refused(reply, 401, "signature")


@pytest.mark.parametrize("who", ["another team", "a colleague", "another token"])
async def test_anothers_file_looks_like_none(stack: Stack, who: str) -> None:
    """The same 404 as for an unknown URL; no job can use it, and other callers cannot add parts."""
    address = await put_file(stack)
    key = await stranger(stack) if who == "another team" else ""
    key = key or ((await colleague(stack)).key if who == "a colleague" else (await token(stack.api))["token"])
    mine = await started(stack.api, await upload_token(stack.api))
    async with calling(stack, key) as api:
        never = re.sub("file_[0-9a-f]{32}", NEVER, address)
        replies = [await api.get(one) for one in (address, never)]
        assert_refused(replies[0], 404)
        assert replies[0].content == replies[1].content
        for one in (address, never):
            body = stack.body()
            body["input"]["image_url"] = one
            reply = await api.post("/v1/jobs", json=body)
            assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/input/image_url")
        headers = bearing(await upload_token(api))
        for one in (mine, re.sub("file_[0-9a-f]{32}", NEVER, mine)):
            assert_refused(await api.put(f"{one}/1", content=b"x", headers=headers), 404)
            reply = await completed(api, one, [{"partNumber": 1, "etag": "x"}], **headers)
            assert_refused(reply, 404)


@pytest.mark.parametrize(
    "found", ["x", "file_", "FILE_" + "0" * 32, "*", "%00", "ä", "a" * 300, "..", "file_" + "g" * 32]
)
async def test_what_is_no_id_is_404(stack: Stack, found: str) -> None:
    """Malformed ids are treated as unknown ones."""
    assert (await stack.api.get(f"/fal/cdn/files/{found}/a.png")).status_code == 404
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    with pytest.raises(Exception, match="no uploaded file"):
        await stack.gateway.fal_uploads.resolve(caller, f"http://filmgate.test/fal/cdn/files/{found}/a.png")


# --- files -------------------------------------------------------------------------------------------------------

WRONG = {
    "no image": (b"hello", "image/png", 422),
    "too small": (picture(size=(100, 100)), "image/png", 422),
    "cut off": (picture()[:-20], "image/png", 422),
    "nothing": (b"", "image/png", 422),
    "a film that is cut off": (b"\0\0\0\x20ftypisom", "video/mp4", 422),
    "a text": (b"hello", "text/plain", 415),
    "too large": (b"\0" * (30 * MB + 1), "image/png", 413),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_no_image_for_kling_is_refused(stack: Stack, case: str) -> None:
    """By a token, and at a signed URL: nothing is stored, and the URL can still be used for the right file."""
    content, kind, status = WRONG[case]
    upload = await initiated(stack.api)
    credential = await upload_token(stack.api)
    async with without_key(stack) as web, nothing_changes(stack):
        headers = {**bearing(credential), "Content-Type": kind}
        assert_refused(await web.post("/fal/cdn/files/upload", content=content, headers=headers), status)
        if status != 415:
            assert_refused(await web.put(upload["upload_url"], content=content), status)
    async with without_key(stack) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/pdf"])
async def test_other_files_are_refused_before_they_are_sent(stack: Stack, kind: str) -> None:
    """415 when the upload is initiated."""
    async with nothing_changes(stack):
        for where in (INITIATE, IN_PARTS):
            reply = await stack.api.post(where, json={"file_name": "a", "content_type": kind})
            assert_refused(reply, 415, "images")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (INITIATE, {"file_name": 1}, 422),
        (INITIATE, [], 422),
        (INITIATE.replace("fal-cdn-v3", "elsewhere"), {}, 400),
        (AUTH.replace("fal-cdn-v3", "elsewhere"), {}, 400),
        ("/fal/rest/tokens/", {"allowed_apps": []}, 422),
        ("/fal/rest/tokens/", {"allowed_apps": ["kling-video"], "token_expiration": "soon"}, 422),
        ("/fal/rest/tokens/", {"allowed_apps": ["fast-lcm"], "token_expiration": 120}, 404),
    ],
)
async def test_a_wrong_question_is_refused(stack: Stack, path: str, body: object, status: int) -> None:
    """With `detail`; an app that is not ours gets no token."""
    await stack.api.get("/v1/jobs")
    async with nothing_changes(stack):
        assert_refused(await stack.api.post(path, json=body), status)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (INITIATE, {"file_name": None, "content_type": None}),
        ("/fal/rest/tokens/", {"allowed_apps": ["kling-video"], "token_expiration": None}),
    ],
)
async def test_null_for_what_is_optional_is_absent(stack: Stack, path: str, body: object) -> None:
    """As in the input of a model: typed clients send every member that they know."""
    reply = await stack.api.post(path, json=body)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("/fal/rest/tokens/", {}, ["body", "allowed_apps"]),
        ("/fal/rest/tokens/", {"allowed_apps": None}, ["body", "allowed_apps"]),
        ("/fal/rest/tokens/", {"allowed_apps": [1]}, ["body", "allowed_apps", 0]),
        (INITIATE, {"file_name": 1}, ["body", "file_name"]),
    ],
)
async def test_a_wrong_member_is_named(stack: Stack, path: str, body: object, loc: list[str | int]) -> None:
    """Its full path in the body."""
    reply = await stack.api.post(path, json=body)
    assert [found["loc"] for found in reply.json()["detail"]] == [loc]


@pytest.mark.parametrize("size", [30 * MB + 1, 40 * MB])
async def test_a_file_over_30_mb_is_refused_with_its_reason(stack: Stack, size: int) -> None:
    """Whichever limit comes first: that of any body, or that of files."""
    declared = {"Content-Type": "image/png", "Content-Length": str(size)}
    content = b"x" * size if size < 31 * MB else b""
    reply = await stack.api.post("/fal/cdn/files/upload", content=content, headers=declared)
    assert_refused(reply, 413, "30 MB")


async def test_a_key_for_some_models_gives_tokens_for_those(stack: Stack) -> None:
    """A token has the app's models that its key may use, and no others."""
    key = await another_key(stack, models=["fal-ai/kling-video/v2/master/image-to-video"])
    async with calling(stack, key.key) as api:
        asked = {"allowed_apps": ["kling-video"], "token_expiration": 5}
        reply = await api.post("/fal/rest/tokens/", json=asked)
        assert reply.status_code == 200, reply.text
    async with calling(stack, reply.json()) as page:
        assert (await page.post("/v1/jobs", json=stack.body())).status_code == 202
        other = stack.body(model="fal-ai/kling-video/v2.1/standard/image-to-video")
        assert (await page.post("/v1/jobs", json=other)).status_code == 403


# --- parts -------------------------------------------------------------------------------------------------------


async def test_a_wrong_list_of_parts_is_422_and_may_be_corrected(stack: Stack) -> None:
    """A wrong ETag, a gap, a duplicate, one missing, one too many, none, nonsense; then the right list."""
    upload = await initiated(stack.api, where=IN_PARTS)
    async with without_key(stack) as web:
        one, two, three = named = await put_parts(web, upload["upload_url"], cut(picture(), 3))
        unknown: list[list[dict[str, object]]] = [
            [one, two, {**three, "etag": one["etag"]}],
            [one, three],
            [one, two],
            [one, two, two],
            [*named, {"partNumber": 4, "etag": "x"}],
        ]
        unreadable: list[list[dict[str, object]]]
        unreadable = [[], [{"partNumber": "1", "etag": "x"}], [{"partNumber": 0, "etag": "x"}], [{"etag": "x"}]]
        async with nothing_changes(stack):
            for wrong in unknown:
                assert_refused(await completed(web, upload["upload_url"], wrong), 422, "parts")
            for wrong in unreadable:
                assert_refused(await completed(web, upload["upload_url"], wrong), 422)
        assert (await completed(web, upload["upload_url"], named[::-1])).status_code == 200
        path, _, query = upload["upload_url"].partition("?")
        assert_refused(await web.put(f"{path}/4?{query}", content=b"x"), 403, "complete")


@pytest.mark.parametrize("number", ["0", "101", "x", "-1", "1e3", "٣", "00000001"])
async def test_a_part_has_a_number(stack: Stack, number: str) -> None:
    """From 1 to 100, in plain digits."""
    upload = await initiated(stack.api, where=IN_PARTS)
    path, _, query = upload["upload_url"].partition("?")
    async with without_key(stack) as web, nothing_changes(stack):
        assert_refused(await web.put(f"{path}/{number}?{query}", content=b"x"), 422)
        assert_refused(await web.put(f"{path}/1?{query}", content=b""), 422)


async def test_parts_of_an_image_are_together_no_larger_than_it_may_be(stack: Stack) -> None:
    """Five parts of 10 MiB at once, as Python sends them: a video may have them, and this is none."""
    credential = await upload_token(stack.api)
    async with without_key(stack) as web:
        address = await started(web, credential)

        async def put(number: int) -> httpx.Response:
            return await web.put(f"{address}/{number}", content=b"x" * (10 * MB), headers=bearing(credential))

        replies = await asyncio.gather(*map(put, range(1, 6)))
        assert {reply.status_code for reply in replies} == {200}
        named = [reply.json() for reply in replies]
        assert_refused(await completed(web, address, named, **bearing(credential)), 413, "30 MB")
        assert_refused(await web.put(f"{address}/6", content=b"x" * (32 * MB), headers=bearing(credential)), 413)


async def test_parts_together_are_no_larger_than_a_video_may_be(stack: Stack) -> None:
    """The store counts their bytes: one more than 300 MB is refused before it is kept."""
    upload = await initiated(stack.api, where=IN_PARTS)
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    uploads, store = stack.gateway.fal_uploads, stack.gateway.stores.uploads
    place = await uploads._parts.folder_id()
    kept = await uploads.own(caller, upload["file_url"].rsplit("/", 2)[1])
    assert await store.register_part(kept, Part(1, "a", 300 * MB - 1), limit=300 * MB, place=place) == "taken"
    async with without_key(stack) as web:
        path, _, query = upload["upload_url"].partition("?")
        assert (await web.put(f"{path}/2?{query}", content=b"x")).status_code == 200
        assert_refused(await web.put(f"{path}/3?{query}", content=b"x"), 413, "300 MB")


async def test_an_unfinished_upload_leaves_the_store_by_itself(stack: Stack) -> None:
    """An unfinished upload expires after an hour; a stored file after its week, and its URL with it."""
    credential = await upload_token(stack.api)
    upload = await initiated(stack.api, where=IN_PARTS)
    async with (
        without_key(stack) as web,
        stack.redis.client() as redis,
    ):
        named = await put_parts(web, upload["upload_url"], cut(picture(), 2))
        names = [name async for name in redis.scan_iter("fg:upload:*")]
        assert len(names) == 2
        assert all([3500 < await redis.ttl(name) <= 3660 for name in names])
        assert (await completed(web, upload["upload_url"], named)).status_code == 200
        assert max([await redis.ttl(name) for name in names]) > 6 * 86_400
        await redis.delete(*names)
        headers = bearing(credential)
        assert_refused(await web.post("/fal/cdn/files/upload", content=picture(), headers=headers), 401, "expired")
        assert_refused(await web.put(upload["upload_url"], content=picture()), 404)


async def test_a_part_that_is_on_another_machine_is_named(stack: Stack) -> None:
    """Complete names the missing part; once it is sent again, the file is complete."""
    upload = await initiated(stack.api, where=IN_PARTS)
    parts = cut(picture(), 2)
    async with without_key(stack) as web:
        named = await put_parts(web, upload["upload_url"], parts)
        (part,) = (stack.settings.data_dir / "uploads").rglob("2-*")
        part.unlink()
        assert_refused(await completed(web, upload["upload_url"], named), 422, "Part 2")
        await put_parts(web, upload["upload_url"], {2: parts[2]})
        assert (await completed(web, upload["upload_url"], named)).status_code == 200
