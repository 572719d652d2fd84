"""All takes of one `filmgate generate`: checked, uploaded and submitted once, followed together."""

import asyncio

from app.cli.exits import Failure
from app.cli.generate.access import Access
from app.cli.generate.client import ApiClient
from app.cli.generate.clip import refuse_target
from app.cli.generate.options import GenerateOptions
from app.cli.generate.order import ClipOrder
from app.cli.generate.run import Run
from app.cli.generate.screen import Screen, Shows, TakeScreen


class Takes:
    """The takes, which are the state that Ctrl-C and the output look at."""

    def __init__(self, access: Access, options: GenerateOptions) -> None:
        self._access = access
        self._options = options
        self._order = ClipOrder(options)
        self.runs = [Run(access, options, self._order, number) for number in range(1, options.takes + 1)]

    async def make(self) -> None:
        """Make all clips and save them; Failure for the first that was not made, when the others are.

        1. check files and targets, before anything is asked
        2. build the input, check it by a quote, upload
        3. submit and follow every take, and save its clip
        """
        for run in self.runs:
            refuse_target(run.target, force=self._options.force)
        if self._options.job_id is None:
            self._order.read_files()
        failures: list[Failure] = []
        with Screen() as screen:
            async with ApiClient(self._access, screen.notice) as client:
                body = None
                if self._options.job_id is None:
                    body = await self._order.body(client, screen, takes=len(self.runs))
                shown: list[Shows] = [screen]
                if len(self.runs) > 1:
                    states: dict[int, str] = {}
                    shown = [TakeScreen(screen, states, run.take) for run in self.runs]
                making = [run.clip(client, its, body) for run, its in zip(self.runs, shown, strict=True)]
                for made in await asyncio.gather(*making, return_exceptions=len(making) > 1):
                    if isinstance(made, Failure):
                        failures.append(made)
                    elif isinstance(made, BaseException):
                        raise made
                    else:
                        screen.done(made)
        if failures:
            raise Failure(f"{len(failures)} of {len(self.runs)} clips were not made. {failures[0]}")
