"""A film studio with four weeks behind it, for pictures of the page: its people, budgets, clips and failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from PIL import Image

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import join_ref
from app.domain.jobs import Status
from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.paintings import PAINTINGS, jpeg
from tests.e2e.clients.store_clock import StoreClock
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack
from workers.finalize import finalize
from workers.submit import submit

HOUR, DAY = 3600, 86_400
DOLLARS = 1_000_000
BUDGET = 50 * DOLLARS  # of each colleague, a month
KLING = "fal-ai/kling-video"
V3, V3_TURBO = f"{KLING}/v3/pro/image-to-video", f"{KLING}/v3/turbo/standard/image-to-video"
V25, MASTER = f"{KLING}/v2.5-turbo/pro/image-to-video", f"{KLING}/v2.1/master/image-to-video"
SCENARIO = "X-Emulator-Scenario"
MARA, JONAS, AIKO, PRIYA, TOM = "Mara Lind", "Jonas Weber", "Aiko Tanaka", "Priya Nair", "Tom Okafor"
STUDIO, AGENCY, SCHOOL = "Lumen Studio", "Northlight", "Film School"


@dataclass(frozen=True, slots=True)
class Take:
    """One clip that somebody asked for: how long ago, of which picture; `fault` is a scenario of the emulator."""

    ago: float
    picture: str
    who: str
    model: str
    seconds: str
    prompt: str
    lasted: float = 74
    fault: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


DAWN = "Dawn over a mountain lake, mist drifts across the water, slow push in"
LIGHTS = "Northern lights ripple above the peaks, long exposure, camera tilts up"
RAIN = "Rain on a city street at night, neon reflections, the camera glides forward"
SAND = "Wind carries sand over the crest of the dune, low sun, anamorphic flare"
FOREST = "Fog rolls between the firs, a raven crosses the frame, handheld"
TOWER = "The lighthouse beam sweeps over the sea, waves break on the rocks below"
SCENT = "The bottle turns once, light runs along the glass, soft pink studio"
FLIGHT = "Hot-air balloons rise over the valley at sunrise, aerial shot"
SPRAY = "A hand lifts the bottle and sprays it at the lens"
STEAM = "Steam rises from a bowl of tea in front of a round window, still camera"

RECENT = (  # the oldest first
    Take(26.0 * HOUR, "tea", AIKO, V25, "5", STEAM),
    Take(25.2 * HOUR, "dunes", JONAS, V3, "5", f"{SAND}, colder grade", metadata={"project": "Sirocco"}),
    Take(22.5 * HOUR, "city-in-the-rain", PRIYA, MASTER, "10", f"{RAIN}, slower", 131),
    Take(
        5.4 * HOUR, "lake-at-dawn", MARA, V25, "5", f"{DAWN}, no camera movement", metadata={"project": "Alpenglow"}
    ),
    Take(4.1 * HOUR, "balloons", TOM, V3_TURBO, "5", FLIGHT, lasted=58),
    Take(3.2 * HOUR, "perfume", PRIYA, MASTER, "10", SCENT, 142, metadata={"project": "Maison Clair"}),
    Take(2.6 * HOUR, "lighthouse", MARA, V3, "5", TOWER, lasted=96, metadata={"project": "Alpenglow"}),
    Take(1.7 * HOUR, "forest", AIKO, V3_TURBO, "5", FOREST),
    Take(1.2 * HOUR, "dunes", JONAS, V25, "5", SAND, lasted=66, metadata={"project": "Sirocco"}),
    Take(2900, "city-in-the-rain", PRIYA, V3, "10", RAIN, 133, metadata={"project": "Neon"}),
    Take(2300, "perfume", TOM, V25, "5", SPRAY, fault="422_content_policy", lasted=21),
    Take(1500, "northern-lights", MARA, V3, "5", LIGHTS, lasted=88, metadata={"project": "Alpenglow"}),
    Take(820, "lake-at-dawn", MARA, V25, "5", DAWN, lasted=71, metadata={"project": "Alpenglow"}),
)
UNDER_WAY = (
    Take(46, "balloons", AIKO, V3_TURBO, "5", f"{FLIGHT}, towards the camera"),
    Take(33, "tea", JONAS, V25, "5", f"{STEAM}, close up"),
)
PEOPLE = (MARA, JONAS, AIKO, PRIYA, TOM)
DEAR = ((V3, "10"), (MASTER, "10"), (V3_TURBO, "10"), (MASTER, "5"), (V25, "10"))  # what each of them prefers
PROMPTS = (DAWN, LIGHTS, RAIN, SAND, FOREST, TOWER, SCENT, FLIGHT, STEAM)
WHEN = (29, 28, 27, 26, 25, 24, 22, 21, 20, 19, 18, 17, 15, 14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2)  # days ago
BEFORE = tuple(
    Take(day * DAY - part * 2 * HOUR, [*PAINTINGS][turn % 9], PEOPLE[turn % 5], *DEAR[turn % 5], PROMPTS[turn % 9])
    for day in WHEN
    for part in range(2 + day * 7 % 3)
    for turn in (day * 3 + part * 2,)
)


@dataclass
class Studio:
    """The installation, and a key of each colleague."""

    stack: Stack
    clock: StoreClock
    keys: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)  # by prompt
    pictures: dict[str, str] = field(default_factory=dict)  # addresses by name

    async def open(self) -> None:
        """The teams, their people and limits."""
        people = self.stack.gateway.administration
        await people.remove_team("administrator", self.stack.account.team.id)
        zone = "Europe/Berlin"
        limits = [Limit(Unit.USD, Window.MONTH, 400 * DOLLARS), Limit(Unit.JOBS, Window.CONCURRENT, 8)]
        team = await people.add_team("administrator", name=STUDIO, time_zone=zone, limits=limits)
        self.stack = replace(self.stack, account=replace(self.stack.account, team=team))
        own = [Limit(Unit.USD, Window.MONTH, BUDGET)]
        for name in PEOPLE:
            user = await people.add_user("administrator", team=team.id, name=name, limits=own)
            scopes = USER_SCOPES | ({Scope.TEAM_READ, Scope.TEAM_ADMIN} if name == MARA else set())
            self.users[name] = user.id
            self.keys[name] = (
                await people.add_key("administrator", user=user.id, name="laptop", scopes=scopes)
            ).key
        await people.add_key("administrator", user=self.users[MARA], name="render script")
        for name, month, users in (
            (AGENCY, 250, ("Elena Rossi", "Noah Bernard")),
            (SCHOOL, 80, ("Class of 2027",)),
        ):
            other = await people.add_team(
                "administrator", name=name, time_zone=zone, limits=[Limit(Unit.USD, Window.MONTH, month * DOLLARS)]
            )
            for one in users:
                user = await people.add_user("administrator", team=other.id, name=one, limits=own)
                await people.add_key("administrator", user=user.id, name="laptop")

    async def bring_pictures(self) -> None:
        """Upload every picture, as the form does."""
        for name, paint in PAINTINGS.items():
            content = await asyncio.to_thread(_file_of, paint)
            files = {"file": (f"{name}.jpg", content, "image/jpeg")}
            reply = await self.stack.api.post("/v1/files", files=files, headers=self._headers(MARA))
            assert reply.status_code == 201, reply.text
            self.pictures[name] = reply.json()["url"]

    async def make(self, take: Take) -> None:
        """Ask for a clip, and let it be made; in the store's time so long ago."""
        self.clock.back(take.ago)
        job_id = await self._ask(take)
        pipeline = Pipeline(self.stack)
        self.clock.back(take.ago - 1)
        await self._hand_over(job_id, take)
        self.clock.back(take.ago - 1 - take.lasted)
        await pipeline.completed(job_id)
        await pipeline.make_due("finalize", pipeline.ref(job_id))
        await finalize(self.stack.gateway, pipeline.ref(job_id))
        job = await pipeline.job(job_id)
        assert job.status is (Status.FAILED if take.fault else Status.SUCCEEDED), job.error

    async def begin(self, take: Take) -> None:
        """Ask for a clip, and let fal begin with it."""
        self.clock.back(take.ago)
        job_id = await self._ask(take)
        self.clock.back(take.ago - 1)
        await self._hand_over(job_id, take)

    async def share(self, prompt: str, *, seconds: int) -> str:
        """A link to a clip of Mara's, with its prompt."""
        body = {"prompt": True, "expires_in": seconds}
        reply = await self.stack.api.post(
            f"/v1/jobs/{self.jobs[prompt]}/shares", json=body, headers=self._headers(MARA)
        )
        link: str = reply.json()["url"]
        return link

    async def _ask(self, take: Take) -> str:
        given = {"prompt": take.prompt, "image_url": self.pictures[take.picture], "duration": take.seconds}
        if take.model == V3:
            given["start_image_url"] = given.pop("image_url")
        body = {"model": take.model, "input": given, "metadata": take.metadata}
        reply = await self.stack.api.post("/v1/jobs", json=body, headers=self._headers(take.who))
        assert reply.status_code == 202, reply.text
        self.jobs[take.prompt] = reply.json()["id"]
        return self.jobs[take.prompt]

    async def _hand_over(self, job_id: str, take: Take) -> None:
        gateway = self.stack.gateway
        if take.fault:  # in a header, because a tag would be in the prompt
            gateway.fal._headers[SCENARIO] = take.fault
        await gateway.stores.slots.grant()
        await submit(gateway, join_ref(self.stack.account.team.id, job_id))
        gateway.fal._headers.pop(SCENARIO, None)

    def _headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}


def _file_of(paint: Callable[[], Image.Image]) -> bytes:
    return jpeg(paint())


@asynccontextmanager
async def open_studio(
    redis: RedisServer, clock: StoreClock, emulator: Emulator, **settings: str
) -> AsyncIterator[Studio]:
    """The studio's four weeks, in the store; the gateway is open in this process, without workers."""
    clock.back(30 * DAY)
    async with open_stack(redis, emulator, **settings) as stack:
        studio = Studio(stack, clock)
        await studio.open()
        await studio.bring_pictures()
        await emulator.set_speed(10_000)
        for take in (*sorted(BEFORE, key=lambda one: -one.ago), *RECENT):
            await studio.make(take)
        await emulator.set_speed(1)
        for take in UNDER_WAY:
            await studio.begin(take)
        clock.back(0)
        yield studio
