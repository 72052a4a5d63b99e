"""What type checkers infer of the client without ``await``."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import assert_type

from symbl_aio import ConversationInfo, JobStatus, Message, Page, StoredTracker, Text
from symbl_aio.events import JobEvent, UploadProgress
from symbl_aio.sync import Conversation, Job, Outcome, Submission, SymblClient


def use(symbl: SymblClient) -> None:
    submission = symbl.submit("standup.mp4")
    assert_type(submission, Submission)
    assert_type(submission.progress(), Iterator[UploadProgress])
    job = submission.wait()
    assert_type(job, Job)
    assert_type(job.events(), Iterator[JobEvent])
    assert_type(job.refresh(), JobStatus)
    assert_type(job.wait(), Conversation)
    conversation = symbl.process(Text("Hello."), timeout=60)
    assert_type(conversation, Conversation)
    assert_type(conversation.messages(), Page[Message])
    assert_type(conversation.append("standup.mp4"), Submission)
    assert_type(symbl.append(submission, "standup-part2.mp4"), Submission)
    assert_type(symbl.conversations(), Generator[ConversationInfo, None, None])
    assert_type(symbl.trackers.list(), Page[StoredTracker])
    assert_type(symbl.map([Path("a.mp4")]), Generator[Outcome[Path], None, None])
    for outcome in symbl.map([Path("a.mp4")]):
        if outcome.error is None:
            assert_type(outcome.conversation, Conversation)
            assert_type(outcome.source, Path)
        else:
            assert_type(outcome.job, Job | None)
    with symbl as entered:
        assert_type(entered, SymblClient)
