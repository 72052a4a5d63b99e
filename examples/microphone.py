"""Captions of this machine's microphone: ``python -m examples.microphone``. Ctrl-C ends it.

It needs a program that records: ``arecord`` (ALSA), ``parec`` (PulseAudio) or ``rec`` (SoX). The
API and the account are those of the environment: ``SYMBL_BASE_URL``, ``SYMBL_APP_ID`` and
``SYMBL_APP_SECRET``. After Ctrl-C the last words are still waited for.
"""

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

from symbl_aio import Gap, InsightEvent, Recognition, Stream, SymblClient

RATE = 16_000
RECORDERS = (
    f"arecord -q -t raw -f S16_LE -r {RATE} -c 1",
    f"parec --raw --format=s16le --rate={RATE} --channels=1",
    f"rec -q -t raw -b 16 -e signed-integer -L -r {RATE} -c 1 -",
)


async def main() -> int:
    command = next((line for line in RECORDERS if shutil.which(line.split()[0])), None)
    if command is None:
        print("Install arecord, parec or rec, which record from the microphone.", file=sys.stderr)
        return 2
    async with (
        SymblClient() as symbl,
        symbl.stream(
            sample_rate=RATE, insight_types=["question", "action_item", "follow_up"]
        ) as stream,
    ):
        # Before anything is recorded: Ctrl-C ends the recording in order.
        interrupted = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
        # Not in this process's group, all of which gets Ctrl-C.
        microphone = await asyncio.create_subprocess_exec(
            *command.split(), stdout=PIPE, stdin=DEVNULL, start_new_session=True
        )
        speaking = asyncio.create_task(speak(stream, microphone))
        stopping = asyncio.create_task(stop(microphone, interrupted))
        try:
            await caption(stream)
        finally:
            speaking.cancel()
            stopping.cancel()
            await asyncio.wait([speaking, stopping])
            # Once only: a second signal would take the end of the process from asyncio.
            if stopping.cancelled() and microphone.returncode is None:
                microphone.terminate()
            await microphone.wait()
        print(f"\nConversation {stream.conversation.id}")
    return 0


async def stop(microphone: Process, interrupted: asyncio.Event) -> None:
    await interrupted.wait()
    if microphone.returncode is None:
        microphone.terminate()


async def speak(stream: Stream, microphone: Process) -> None:
    """Send a tenth of a second at a time, until the recording ends."""
    assert microphone.stdout is not None
    held = b""
    while audio := held + await microphone.stdout.read(RATE // 10 * 2):
        whole = len(audio) & ~1  # samples have two bytes, and a pipe may cut one
        await stream.send(audio[:whole])
        held = audio[whole:]
        if microphone.stdout.at_eof():
            break
    await stream.stop()


async def caption(stream: Stream) -> None:
    """Print the words that may still change on one line, and the final ones above it."""
    async for event in stream:
        match event:
            case Recognition(text=text, is_final=is_final):
                print(f"\r\x1b[2K{text}", end="\n" if is_final else "", flush=True)
            case InsightEvent(insight=insight):
                print(f"\r\x1b[2K  {insight.type}: {insight.text}")
            case Gap(seconds=seconds):
                print(f"\r\x1b[2K  There was no connection for {seconds:.1f} s.")
            case _:
                pass


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
