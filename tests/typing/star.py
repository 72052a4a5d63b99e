"""A star import gives a type checker each public name, as it gives it to a program."""

from typing import assert_type

from symbl_aio import *
from symbl_aio.live import *
from symbl_aio.models import *
from symbl_aio.sync import Job as WaitingJob


def names(page: Page[Message], event: MessageEvent, options: MediaOptions) -> list[str | None]:
    assert_type(page[0], Message)
    assert_type(event.message.sender, User)
    assert_type(options.trackers, tuple[Tracker | TrackerRef, ...] | None)
    return [page[0].text, event.message.text, options.name]


def status(job: WaitingJob) -> JobStatus:
    return job.status
