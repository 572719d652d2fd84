"""The state of one emulator process: the composition root."""

import base64
import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from app.emulator import signature
from app.emulator.account import FalAccount
from app.emulator.catalog import FalModels
from app.emulator.clock import Clock
from app.emulator.files import Files
from app.emulator.images import SAMPLE_IMAGE, can_encode
from app.emulator.journal import Journal
from app.emulator.options import Options
from app.emulator.renderer import Renderer
from app.emulator.signature import SigningKeys
from app.emulator.webhooks import WebhookSender

NOT_IMITATED = (
    "Nothing is generated: a clip is a silent zoom into the picture or a video's first frame, a sound is a hum.",
    "Webhooks to private and loopback addresses are delivered; fal drops them.",
    "One account with one balance that never ends; every accepted key is the same account.",
    "No /stream route, no realtime, no HTTP over WebSocket; no runner hints, priorities or platform retries.",
    "Nothing expires: results, payloads and files stay, whatever object lifecycle was asked for.",
    "The pause between webhook attempts, the body of a 429 and the end of a cancelled request are guesses.",
    "A webhook that was on its way when the emulator was killed is not sent again.",
    "Only Kling's models are there. Inputs that fal's pages do not show whole (4.0, Flash) are guessed from 3.0.",
    "A model whose price was not found takes no requests until a test gives it one at /emulator/models.",
    "Of input videos and sounds length and bytes are checked; pixels, frame rates and codecs are not.",
    "Seconds of output are billed whole; so are seconds of input, rounded up above 0.05, which is a guess.",
    "History and billing are complete at once (fal's lag by minutes); only with `--admin-key` do they need one.",
)


@dataclass(slots=True)
class PlatformFault:
    """A fault of the platform API: a status or text for responses, delay, lag, stuck cursor, short pages.

    Status and text are for the first `times` responses, or for all; a status may carry `Retry-After`.
    """

    status: int = 0
    lag_seconds: float = 0
    same_cursor: bool = False
    body: str = ""
    delay_seconds: float = 0
    page_rows: int = 0
    retry_after: float = 0
    times: int | None = None

    def applies(self) -> bool:
        """True when status or text are for this response; it is then counted."""
        if self.times is None or not (self.status or self.body):
            return True
        self.times -= 1
        return self.times >= 0


class Emulator:
    """One emulated fal. `start` and `stop` belong to the running event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.closing = False
        self.platform_fault = PlatformFault()
        self.models = FalModels()
        self.submits_by_prompt: Counter[str] = Counter()
        self.sample_image = SAMPLE_IMAGE.read_bytes()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        state = options.state_file
        self.files = Files(self._folder(state))
        self.keys = SigningKeys.kept_in(state.with_name(state.name + ".key")) if state else SigningKeys()

    def _folder(self, state: Path | None) -> Path:
        if state is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fal-emulator-")
            return Path(self._temporary.name)
        folder = state.with_name(state.name + ".files")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self) -> None:
        """Starts the clock and continues what the journal holds."""
        options = self.options
        self.clock = Clock(options.speed)
        self.renderer = Renderer(
            models=self.models, files=self.files, plain=options.plain_clips, no_clips=options.no_clips
        )
        self.webhooks = WebhookSender(clock=self.clock, keys=self.keys, user_id=options.webhook_user)
        self.journal = Journal(options.state_file)
        self.account = FalAccount(
            clock=self.clock,
            journal=self.journal,
            concurrency=options.concurrency,
            produce=self.renderer.produce,
            announce=self.webhooks.announce,
            estimate=self.renderer.estimate,
        )
        self.account.restore()

    async def stop(self) -> None:
        """Closes open streams, the journal and the HTTP clients."""
        self.release_watchers()
        self.journal.close()
        await self.webhooks.close()
        await self.renderer.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def release_watchers(self) -> None:
        """Ends open streams and waiting runs."""
        self.closing = True
        for generation in self.account.requests.values():
            generation.pulse()

    def base(self, request: Request) -> str:
        """The origin of URLs in a reply."""
        return self.options.public_url or f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"

    def has_known_key(self, request: Request) -> bool:
        """True for `Key …` and `Bearer …` with a key from the command line, or any key if none was given there."""
        scheme, credential = _credential(request)
        if scheme not in {"key", "bearer"} or not credential:
            return False
        if not self.options.keys or credential in self.options.keys | self.options.admin_keys:
            return True
        return self.is_own_token(credential)

    def has_admin_key(self, request: Request) -> bool:
        """True for a key that may read history and billing: any known one, unless admin keys were given."""
        return not self.options.admin_keys or _credential(request)[1] in self.options.admin_keys

    def issue_token(self, seconds: float) -> str:
        """A token in the form of a JWT, valid for so many seconds."""
        head = _segment({"alg": "HS256", "typ": "JWT"})
        claims = _segment({"exp": int(time.time() + seconds)})
        return f"{head}.{claims}.{self.files.sign(f'{head}.{claims}')}"

    def is_own_token(self, token: str) -> bool:
        """True for a token issued here that has not expired."""
        signed, _, proof = token.rpartition(".")
        if not signed or not self.files.is_own_signature(signed, proof):
            return False
        claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        return float(claims["exp"]) > time.time()

    def not_imitated(self) -> list[str]:
        """The differences from fal, those of this machine included, in sentences."""
        missing = []
        if not can_encode or self.options.no_clips:
            missing.append("Pictures are not fetched: every clip is the same ready-made one.")
        if not can_encode:
            missing.append("Input videos and sounds are not measured: each counts as five seconds.")
        if not signature.can_sign:
            missing.append("Webhooks are unsigned: the package cryptography is not installed.")
        return [*NOT_IMITATED, *missing]


def _credential(request: Request) -> tuple[str, str]:
    """Scheme in lower case and key of the Authorization header."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), credential.strip()


def _segment(claims: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
