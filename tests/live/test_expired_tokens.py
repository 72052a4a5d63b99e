"""Tokens that expire, and credentials that are revoked, while a connection is open or lost."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio import AuthenticationError, Credentials, Gap, StreamLostError
from symbl_aio.testing import LocalSymbl
from tests.live.peer import TOKEN, Peer, next_of, through_cutter
from tests.support import Clock

TOKEN_PATH = "/oauth2/token:generate"


async def test_connections_that_are_cut_after_their_token_expired_share_one_new_token():
    clock = Clock()
    async with (
        LocalSymbl(token_life=1000, clock=clock) as server,
        through_cutter(server) as (cutter, symbl),
        symbl.stream("pier-4") as one,
        symbl.stream("pier-5") as other,
        symbl.subscribe("pier-4") as listener,
    ):
        before = [one.conversation.id, other.conversation.id]
        clock.now += 1000
        # An open connection outlives its token.
        link = one._opened()
        await one.send(bytes(32_000))
        await link.until(lambda: link.account.open == 0)
        cutter.cut()
        await asyncio.gather(*(next_of(each, Gap) for each in (one, other, listener)))
        after = [(await stream.stop()).id for stream in (one, other)]
        asked = [seen for seen in server.requests if seen.path == TOKEN_PATH]
    assert after == before
    assert len(asked) == 2


async def test_a_token_that_the_client_knows_to_have_expired_is_shown_to_no_connection(peer: Peer):
    async with peer.client() as symbl, symbl.stream("a") as one, symbl.stream("b") as other:
        tokens = one._backend._api._tokens
        now = tokens._clock()
        tokens._clock = lambda: now + 3600
        for session in list(peer.sessions):
            session.break_off()
        await asyncio.gather(next_of(one, Gap), next_of(other, Gap))
    assert [session.token for session in peer.sessions[2:]] == [peer.tokens[1]] * 2
    assert (len(peer.tokens), peer.refused) == (2, 0)


async def test_credentials_that_were_revoked_end_a_lost_stream_with_an_error_that_names_it(
    peer: Peer,
):
    async with (
        peer.client() as symbl,
        symbl.stream("pier-4") as stream,
        symbl.subscribe("pier-4") as listener,
    ):
        await peer.until(lambda: bool(peer.subscribers))
        peer.revoked = True
        for session in (*peer.sessions, *peer.subscribers):
            session.break_off()
        for handle in (stream, listener):
            with pytest.raises(StreamLostError, match="secret was refused") as caught:
                async for _ in handle:
                    pass
            assert isinstance(caught.value.__cause__, AuthenticationError)
            named = stream.conversation.id if handle is stream else None
            assert caught.value.conversation_id == named
        with pytest.raises(StreamLostError):
            await stream.stop()


@pytest.mark.parametrize("is_ready", [True, False])
async def test_a_refused_fresh_token_ends_a_lost_stream_with_an_error_that_names_it(
    peer: Peer, is_ready: bool
):
    credentials = TOKEN if is_ready else Credentials("app", "a-secret-of-the-app")
    async with peer.client(credentials=credentials) as symbl, symbl.stream() as stream:
        peer.refusals = [401] if is_ready else [401, 401]
        (await peer.session()).break_off()
        with pytest.raises(StreamLostError, match="401") as caught:
            async for _ in stream:
                pass
        assert isinstance(caught.value.__cause__, AuthenticationError)
        assert caught.value.conversation_id == stream.conversation.id
    assert peer.refused == (1 if is_ready else 2)
    assert len(peer.tokens) == (0 if is_ready else 2)


@pytest.mark.parametrize("subscribes", [True, False])
async def test_credentials_that_are_refused_from_the_start_are_an_error_of_their_own(
    peer: Peer, subscribes: bool
):
    peer.revoked = True
    async with peer.client() as symbl:
        with pytest.raises(AuthenticationError, match="secret was refused"):
            async with symbl.subscribe("a") if subscribes else symbl.stream("a"):
                pass
