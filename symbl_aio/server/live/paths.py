"""The paths of live audio and calls; the rest of the path of a socket is its connection id."""

from __future__ import annotations

from typing import Final

CONNECT_PATH: Final = "/v1/endpoint:connect"
EVENT_PATH: Final = "/v1/event/"
EVENTS_PATH: Final = "/events/"
SPEAKER_PATHS: Final = ("/v1/streaming/", "/v1/realtime/insights/")
LISTENER_PATHS: Final = ("/v1/subscribe/", "/session/subscribe/", "/subscribe/", EVENTS_PATH)
