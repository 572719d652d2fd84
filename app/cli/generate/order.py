"""What is ordered: the input is built, checked by a quote, and only then are files uploaded."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.client import ApiClient
from app.cli.generate.image import data_uri, duration_value, image_field, read_image, upload
from app.cli.generate.inputs import DEFAULT_MODEL, FileInput, InputBuilder, files_of, with_urls
from app.cli.generate.options import GenerateOptions
from app.cli.generate.screen import Screen, size

MAX_EMBEDDED_BYTES = 5_500_000  # bytes; in base64 it still fits into a job's body of 8 MB
NOT_UPLOADED = "https://example.com/a-file-that-is-uploaded-later"  # in a quote, which fetches nothing
FILE_OPTIONS = ("image", "end_image")


class ClipOrder:
    """The body of a job; `uploaded` is the URL of each file by its name, for a repeated command."""

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._contents: dict[Path, bytes] = {}
        self.uploaded: dict[Path, str] = {}

    def read_files(self) -> None:
        """Read the files of the options, before anything is asked; Failure for one that cannot be used."""
        for name in FILE_OPTIONS:
            source = getattr(self._options, name)
            if source is not None and not self._options.is_url(source):
                self._read(Path(source))
        self._check_size()

    async def body(self, client: ApiClient, screen: Screen, *, takes: int) -> dict[str, Any]:
        """The body of `POST /v1/jobs`.

        1. the input in the types of the model's schema
        2. a quote: Failure when the gateway would refuse the job, or `takes` of them are too many for a limit
        3. uploads; with --idempotency-key the files are sent inside the job, so that a repeat is the same request
        """
        model = await client.model(self._options.model or DEFAULT_MODEL)
        fields = self._input(model)
        for one in files_of(fields):
            self._read(one.path)
        self._check_size()
        body = {} if self._options.model is None else {"model": self._options.model}
        quote = await client.ask(
            "POST", "/v1/quotes", lambda: {"json": {**body, "input": with_urls(fields, lambda _: NOT_UPLOADED)}}
        )
        require_enough(quote, takes)
        for path, content in self._contents.items():
            if self._options.idempotency_key is None:
                self.uploaded[path] = await upload(client, path, content, screen)
        return {**body, "input": with_urls(fields, self._url_of)}

    def _input(self, model: dict[str, Any]) -> dict[str, Any]:
        options, builder = self._options, InputBuilder(model)
        for name, value in options.fields.items():
            builder.put(name, duration_value(model, value) if name == "duration" else value)
        for name, text in options.members:
            builder.set(name, text)
        if options.image is not None:
            builder.put(image_field(model), self._source(options.image))
        if options.end_image is not None:
            builder.put(builder.end_image(), self._source(options.end_image))
        return builder.fields

    def _source(self, text: str) -> str | FileInput:
        return text if self._options.is_url(text) else FileInput(Path(text))

    def _read(self, path: Path) -> None:
        if path not in self._contents:
            self._contents[path] = read_image(path)

    def _check_size(self) -> None:
        total = sum(map(len, self._contents.values()))
        if self._options.idempotency_key is not None and total > MAX_EMBEDDED_BYTES:
            raise Failure(
                f"With --idempotency-key files have at most {size(MAX_EMBEDDED_BYTES)}, because they are sent "
                "inside the job so that it is recognised; give larger ones as URLs."
            )

    def _url_of(self, file: FileInput) -> str:
        found = self.uploaded.get(file.path)
        return found if found is not None else data_uri(self._contents[file.path], str(file.path))


def require_enough(quote: dict[str, Any], takes: int) -> None:
    """Failure when a limit has not enough left for so many jobs of this quote."""
    needs = {
        "usd": Decimal(quote["quoted_usd"]),
        "jobs": Decimal(1),
        "video_seconds": Decimal(quote["video_seconds"]),
    }
    for limit in quote["limits"]:
        need = needs.get(limit["unit"], Decimal(0)) * takes
        if not limit["enough"] or Decimal(str(limit["left"])) < need:
            what = "the clip needs" if takes == 1 else f"{takes} clips need"
            again = f"; it starts again at {limit['resets_at']}" if limit["resets_at"] else ""
            raise Failure(
                printable(
                    f"The limit {limit['unit']}/{limit['window']} of the {limit['owner']} has {limit['left']} of "
                    f"{limit['amount']} left, and {what} {need}{again}. Nothing was uploaded."
                )
            )
