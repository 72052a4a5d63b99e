"""The examples of the README of ``symbl`` 2.0.6, the vendor's SDK for Python, unmodified.

Prints one JSON object: for each call "ok", or what went wrong. The SDK waits thirty seconds before
its first look at a job, so the examples do not wait, and read a conversation that is ready.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

symbl: Any = importlib.import_module("symbl")

given = json.loads(os.environ["CREDENTIALS"])
credentials = {"app_id": given["appId"], "app_secret": given["appSecret"]}
conversation_id = os.environ["CONVERSATION"]
recording = Path("call.wav")
recording.write_bytes(b"RIFF\x24\x00\x00\x00WAVE" + bytes(64))
film = Path("call.mp4")
film.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(64))
link = {"url": "https://media.example.test/call.mp4", "detectEntities": "true"}
words = {"customVocabulary": ["Symbl", "Platform as a Service"], "detectPhrases": True}
text = {
    "name": "Business Meeting",
    "detectEntities": "true",
    "detectPhrases": "true",
    "confidenceThreshold": 0.6,
    "messages": [
        {
            "duration": {
                "startTime": "2020-07-21T16:04:19.99Z",
                "endTime": "2020-07-21T16:04:20.99Z",
            },
            "payload": {"content": "Hi Ann, please send me the report."},
            "from": {"name": "Bob", "userId": "bob@example.test"},
        }
    ],
}
waiting = {"credentials": credentials, "wait": False}
conversations = symbl.Conversations


def same(submitted: Any) -> Any:
    assert submitted.get_conversation_id().isdigit(), submitted.get_conversation_id()
    assert submitted.get_job_id(), submitted
    return submitted


def stream() -> None:
    """Run the streaming example: speak, read messages, stop."""
    messages: queue.Queue[Any] = queue.Queue()
    connection = symbl.Streaming.start_connection(
        credentials=credentials,
        insight_types=["question", "action_item"],
        speaker={"userId": "ann@example.test", "name": "Ann"},
    )
    connection.subscribe({"message_response": messages.put})
    for _ in range(100):
        connection.send_audio(bytes(8192))
    connection.stop()
    said = [messages.get(timeout=20)["messages"][0]["payload"]["content"] for _ in range(3)]
    assert said[0] == "Can you send me the report?", said
    assert connection.conversation.get_conversation_id().isdigit()


def call(start: Callable[..., Any], **endpoint: Any) -> None:
    """Run the telephony example: call, read live results, stop."""
    messages: queue.Queue[Any] = queue.Queue()
    connection = start(credentials=credentials, **endpoint)
    events = {"message_response": messages.put, "transcript_response": messages.put}
    listener = threading.Thread(target=connection.subscribe, args=(events,), daemon=True)
    listener.start()
    first = json.loads(messages.get(timeout=20))
    assert first["type"] == "transcript_response", first
    ended = symbl.Telephony.stop(connection_id=connection.connectionId)
    assert ended.summary_info, ended
    listener.join(20)
    assert not listener.is_alive()


CALLS: dict[str, Callable[[], Any]] = {
    "Audio.process_file": lambda: same(
        symbl.Audio.process_file(file_path=str(recording), **waiting)
    ),
    "Audio.process_file with a vocabulary": lambda: same(
        symbl.Audio.process_file(file_path=str(recording), parameters=words, **waiting)
    ),
    "Audio.process_url": lambda: same(symbl.Audio.process_url(payload=link, **waiting)),
    "Audio.append_file": lambda: same(
        symbl.Audio.append_file(
            file_path=str(recording), conversation_id=conversation_id, **waiting
        )
    ),
    "Audio.append_url": lambda: same(
        symbl.Audio.append_url(payload=link, conversation_id=conversation_id, **waiting)
    ),
    "Video.process_file": lambda: same(symbl.Video.process_file(file_path=str(film), **waiting)),
    "Video.process_url": lambda: same(symbl.Video.process_url(payload=link, **waiting)),
    "Video.append_file": lambda: same(
        symbl.Video.append_file(file_path=str(film), conversation_id=conversation_id, **waiting)
    ),
    "Text.process": lambda: same(symbl.Text.process(payload=text, **waiting)),
    "Text.append": lambda: same(
        symbl.Text.append(payload=text, conversation_id=conversation_id, **waiting)
    ),
    "Conversations.get_messages": lambda: (
        conversations.get_messages(
            conversation_id, credentials=credentials, parameters={"sentiment": True}
        )
        .messages[0]
        .text
    ),
    "Conversations.get_topics": lambda: (
        conversations.get_topics(conversation_id, credentials=credentials).topics
    ),
    "Conversations.get_questions": lambda: (
        conversations.get_questions(conversation_id, credentials=credentials).questions[0].text
    ),
    "Conversations.get_action_items": lambda: (
        conversations.get_action_items(conversation_id, credentials=credentials).action_items
    ),
    "Conversations.get_follow_ups": lambda: (
        conversations.get_follow_ups(conversation_id, credentials=credentials).follow_ups
    ),
    "Conversations.get_members": lambda: (
        conversations.get_members(conversation_id, credentials=credentials).members[0].name
    ),
    "Conversations.get_conversation": lambda: (
        conversations.get_conversation(conversation_id, credentials=credentials).id
    ),
    "Conversations.get_trackers": lambda: conversations.get_trackers(
        conversation_id, credentials=credentials
    ),
    "Conversations.get_entities": lambda: conversations.get_entities(
        conversation_id, credentials=credentials
    ),
    "Streaming.start_connection": stream,
    "Telephony.start_pstn": lambda: call(symbl.Telephony.start_pstn, phone_number="15551234567"),
    "Telephony.start_sip": lambda: call(symbl.Telephony.start_sip, uri="sip:124@example.test"),
    "Conversations.get_analytics": lambda: conversations.get_analytics(
        conversation_id, credentials=credentials
    ),
}


def main() -> None:
    results = {}
    for name, call in CALLS.items():
        try:
            call()
            results[name] = "ok"
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"[:500]
    sys.stdout.write("\nRESULTS " + json.dumps(results) + "\n")
    # Its threads go on looking at jobs.
    sys.stdout.flush()
    os._exit(0)


main()
