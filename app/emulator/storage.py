"""fal's storage: tokens, uploads in one piece or in parts, and public files."""

import time
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from app.emulator.emulator import Emulator
from app.emulator.files import StoredFile
from app.emulator.web import RefusedRequest, json_object, json_reply

TOKEN_SECONDS = 3600
OCTETS = "application/octet-stream"


def routes(emulator: Emulator) -> list[Route]:
    """The routes of `rest.fal.ai` and of the CDN."""
    storage = Storage(emulator)
    upload, part = "/upload/{file_id}/{name}", "/files/{file_id}/{name}/multipart/{upload}"
    return [
        Route("/storage/auth/token", storage.cdn_token, methods=["POST"]),
        Route("/tokens/", storage.token, methods=["POST"]),
        Route("/storage/upload/initiate", storage.initiate, methods=["POST"]),
        Route("/storage/upload/initiate-multipart", storage.initiate, methods=["POST"]),
        Route(upload, storage.put, methods=["PUT"]),
        Route(upload + "/complete", storage.complete, methods=["POST"]),
        Route(upload + "/{number:int}", storage.put_part, methods=["PUT"]),
        Route("/files/upload", storage.upload, methods=["POST"]),
        Route("/files/upload/multipart", storage.start_parts, methods=["POST"]),
        Route(part + "/complete", storage.complete, methods=["POST"]),
        Route(part + "/{number:int}", storage.put_part, methods=["PUT"]),
        Route("/files/{file_id}/{name}", storage.read, methods=["GET"]),
    ]


class Storage:
    """Two kinds of upload (Python's CDN token, JavaScript's signed URL) into one folder."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._files = emulator.files

    async def token(self, request: Request) -> Response:
        """`POST /tokens/`: a JSON string, good for `token_expiration` seconds."""
        self._require_key(request)
        asked = await json_object(request)
        return json_reply(200, self._emulator.issue_token(float(asked.get("token_expiration", TOKEN_SECONDS))))

    async def cdn_token(self, request: Request) -> Response:
        """`POST /storage/auth/token`: the token for uploads of fal's Python client."""
        self._require_key(request)
        expires = datetime.fromtimestamp(time.time() + TOKEN_SECONDS, UTC)
        body = {
            "token": self._emulator.issue_token(TOKEN_SECONDS),
            "token_type": "Bearer",
            "base_url": self._emulator.base(request),
            "expires_at": expires.isoformat(),
        }
        return json_reply(200, body)

    async def initiate(self, request: Request) -> Response:
        """`POST /storage/upload/initiate[-multipart]`: where to PUT the bytes, and where they will be read."""
        self._require_key(request)
        asked = await json_object(request)
        name, kind = str(asked.get("file_name") or "file"), str(asked.get("content_type") or OCTETS)
        file, base = self._files.reserve(name, kind), self._emulator.base(request)
        query = self._files.signed_query(file.id)
        upload_url = f"{base}/upload/{file.id}/{file.name}?{query}"
        return json_reply(200, {"upload_url": upload_url, "file_url": base + file.path})

    async def put(self, request: Request) -> Response:
        """`PUT upload_url`: the bytes; the URL's signature is the permission."""
        file = self._writable(request)
        await self._files.write_body(file, request.stream())
        return Response(status_code=200)

    async def upload(self, request: Request) -> Response:
        """`POST /files/upload`: raw bytes with a CDN token or a key."""
        self._require_key(request)
        file = self._reserve_from_headers(request)
        await self._files.write_body(file, request.stream())
        return json_reply(200, {"access_url": self._emulator.base(request) + file.path})

    async def start_parts(self, request: Request) -> Response:
        """`POST /files/upload/multipart`: starts a large upload."""
        self._require_key(request)
        file = self._reserve_from_headers(request)
        return json_reply(200, {"access_url": self._emulator.base(request) + file.path, "uploadId": file.id})

    async def put_part(self, request: Request) -> Response:
        """One part: its ETag as a header for Python's client, in the body for JavaScript's."""
        file = self._writable(request)
        number = request.path_params["number"]
        etag = self._files.put_part(file, number, await request.body())
        return json_reply(200, {"partNumber": number, "etag": etag}, headers={"ETag": etag})

    async def complete(self, request: Request) -> Response:
        """Completes a large upload. Python's client names the parts in any order."""
        file = self._writable(request)
        parts = (await json_object(request)).get("parts", [])
        try:
            self._files.join_parts(file, [int(part["partNumber"]) for part in parts])
        except (KeyError, TypeError, ValueError) as error:
            return json_reply(400, {"detail": f"Missing or malformed part: {error}"})
        return json_reply(200, {"access_url": self._emulator.base(request) + file.path})

    async def read(self, request: Request) -> Response:
        """`GET /files/…`: public, with Range."""
        file = self._files.find(request.path_params["file_id"])
        if file is None or not file.complete or file.name != request.path_params["name"]:
            return json_reply(404, {"detail": "File not found"})
        return FileResponse(file.body, media_type=file.content_type)

    def _require_key(self, request: Request) -> None:
        if not self._emulator.has_known_key(request):
            raise RefusedRequest(json_reply(401, {"detail": "Authorization header is required"}))

    def _reserve_from_headers(self, request: Request) -> StoredFile:
        name = request.headers.get("x-fal-file-name", "file")
        return self._files.reserve(name, request.headers.get("content-type", OCTETS))

    def _writable(self, request: Request) -> StoredFile:
        """The file of an upload URL; the URL's signature, a key or a token is the permission."""
        path, query = request.path_params, request.query_params
        file = self._files.find(path["file_id"])
        if file is None or file.name != path["name"]:
            raise RefusedRequest(json_reply(404, {"detail": "Upload not found"}))
        signed = self._files.is_signed(file.id, query.get("expires", ""), query.get("signature", ""))
        if not (self._emulator.has_known_key(request) if "upload" in path else signed):
            raise RefusedRequest(json_reply(403, {"detail": "Signature expired or wrong"}))
        return file
