"""States of a live connection: which loss is resumed, which completes, which fails."""

from __future__ import annotations

import pytest

from symbl_aio._core.live_states import LiveStates, Loss, OtherConversationError, Phase
from tests.tables import table

RESUMED = [None, 0, 1001, 1005, 1006, 1011, 1012, 1013, 3006, 4000]
FINAL = [1000, 1002, 1003, 1007, 1008, 1009, 1010]


def states(phase: Phase, *, is_resumable: bool = True) -> LiveStates:
    made = LiveStates(is_resumable=is_resumable)
    made.phase = phase
    return made


ROWS = [
    *((Phase.LISTENING, code, Loss.RESUME) for code in RESUMED),
    *((Phase.OPENING, code, Loss.RESUME) for code in RESUMED),
    *((Phase.LISTENING, code, Loss.FAIL) for code in FINAL),
    *((Phase.STOPPING, code, Loss.FAIL) for code in (*RESUMED, *FINAL[1:])),
    (Phase.STOPPING, 1000, Loss.COMPLETE),
    *((Phase.COMPLETED, code, Loss.COMPLETE) for code in (*RESUMED, *FINAL)),
]


@table("phase,code,loss", ROWS)
def test_a_loss_has_the_consequence_of_its_phase_and_code(phase, code, loss):
    assert states(phase).on_lost(code) is loss
    if phase in (Phase.OPENING, Phase.LISTENING):
        assert states(phase, is_resumable=False).on_lost(code) is Loss.FAIL


def test_a_stream_listens_on_each_connection_anew():
    state = LiveStates(is_resumable=True)
    state.on_listening()
    phases = [state.phase]
    state.opened()
    phases.append(state.phase)
    assert phases == [Phase.LISTENING, Phase.OPENING]


def test_a_stop_is_not_forgotten_by_what_comes_after_it():
    state = LiveStates(is_resumable=True)
    state.on_listening()
    state.on_stop_sent()
    state.on_listening()
    phases = [state.phase]
    state.on_completed()
    state.on_stop_sent()
    phases.append(state.phase)
    assert phases == [Phase.STOPPING, Phase.COMPLETED]


def test_a_second_conversation_is_refused_unless_the_stream_starts_again():
    state = LiveStates(is_resumable=True)
    state.on_conversation("1")
    state.on_conversation("1")
    with pytest.raises(OtherConversationError):
        state.on_conversation("2")
    state.restart()
    state.on_conversation("2")
    assert state.conversation_id == "2"
