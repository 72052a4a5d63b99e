"""The way through a proxy, over real sockets, and the certificates that are trusted."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import ssl
import subprocess

import aiohttp
import pytest
import trustme

from symbl_aio import AccessToken, Config, Retries, SymblClient
from symbl_aio._io.single_use_body import Body
from symbl_aio._protocol.encode import Call
from symbl_aio._proxies import environment_proxy, is_bypassed, parse_proxy
from symbl_aio.errors import (
    ConfigurationError,
    TransportError,
    UntrustedServerError,
)
from tests.io.test_transport import PUT, READ, TOKEN, body_of, held_back, no_matter
from tests.live.peer import open_peer
from tests.tables import table

PASSWORD = "pr0xy:p@ss"
WITH_USER = "http://me:pr0xy%3Ap%40ss@"
BASIC = "Basic bWU6cHIweHk6cEBzcw=="


async def one(exchange):
    while True:
        await exchange.request()
        await exchange.answer(201)


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
async def https(serve, authority):
    return await serve(one, certificate=authority.issue_cert("127.0.0.1", "localhost"))


# Which proxy


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_names_the_proxy_of_https(monkeypatch, name):
    monkeypatch.setenv(name, "http://proxy.example.com:3128/")
    proxy = environment_proxy("https://api.example.com")
    assert proxy is not None
    assert (proxy.url, proxy.name) == ("http://proxy.example.com:3128", name)
    assert (environment_proxy("http://api.example.com") is not None) == (name.lower()[0] == "a")


def test_the_lower_case_spelling_wins_and_an_empty_one_takes_the_other_back(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://upper.example.com")
    monkeypatch.setenv("http_proxy", "lower.example.com:3128")
    proxy = environment_proxy("http://api.example.com")
    assert proxy is not None
    assert proxy.url == "http://lower.example.com:3128"
    monkeypatch.setenv("http_proxy", "")
    assert environment_proxy("http://api.example.com") is None


def test_a_visitors_header_is_no_proxy_of_a_cgi_program(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://evil.example.com")
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert environment_proxy("http://api.example.com") is None


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://a.localhost"]
)
def test_loopback_is_never_sent_through_a_proxy_of_the_environment(monkeypatch, origin):
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example.com")
    assert environment_proxy(origin) is None


@table(
    "bypass",
    ["*", "*, other.org", "*.com", "com:443",
     ".example.com:443", "api.example.com.", "api.example.com", "example.com", ".example.com",
     "*.example.com", "API.EXAMPLE.COM",
     "other.org, api.example.com", "other.org api.example.com", "api.example.com:443"],
)  # fmt: skip
def test_no_proxy_names_the_host(bypass):
    assert is_bypassed("api.example.com", 443, bypass)


@table("bypass", ["", "ple.com", "api.example.org", "api.example.com:8443", "10.0.0.0/8", ",", "."])
def test_no_proxy_names_another_host(bypass):
    assert not is_bypassed("api.example.com", 443, bypass)


@table(
    "host,bypass",
    [("10.1.2.3", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3:80"), ("fd00::1", "fd00::/8"),
     ("fd00::1", "[fd00::1]"), ("fd00::1", "[fd00::1]:80"), ("fd00::1", "fd00::1")],
)  # fmt: skip
def test_no_proxy_names_addresses_and_networks(host, bypass):
    assert is_bypassed(host, 80, bypass)
    assert not is_bypassed("192.0.2.1", 80, bypass)


@pytest.mark.parametrize(
    "value",
    ["socks5://me:hush@proxy.example.com", "http://", "http://me:hush@", "http://h:99999",
     "http://h:port", "http://me:hush@h/path", "http://me:hush@h?x", "http://[::1", "http://h:0",
     "http://me:hush@a b", "http://me:hu\r\nsh@h", "ftp://h", ":3128"],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_refused_by_name_and_not_shown(monkeypatch, value):
    with pytest.raises(ConfigurationError, match=r"^some_proxy .*give the URL") as refused:
        parse_proxy("some_proxy", value)
    assert "hush" not in str(refused.value)


async def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused_at_the_start(
    monkeypatch, connect
):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hush@proxy.example.com")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as refused:
        connect("https://api.example.com")
    assert "hush" not in str(refused.value)
    connect("https://api.example.com", trust_env=False)


# The way


async def test_plain_http_goes_to_the_proxy_with_its_whole_url(serve, connect, proxy):
    server = await serve(one)
    proxy.wants = BASIC
    transport = connect(server.base_url, proxy=proxy.base_url.replace("http://", WITH_USER))
    answer = await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert answer.status == 201
    assert proxy.heads[0].target.startswith(f"{server.base_url}/v1/process/audio/42?")
    assert server.bodies == [b"ab"]


async def test_https_goes_through_a_tunnel_and_a_second_one_reuses_it(
    https, connect, proxy, ca_file
):
    proxy.wants = BASIC
    transport = connect(
        https.base_url, proxy=proxy.base_url.replace("http://", WITH_USER), ca_file=ca_file
    )
    for _ in range(2):
        assert (await transport.send(PUT, TOKEN, body_of(b"ab"))).status == 201
    assert [head.method for head in proxy.heads] == ["CONNECT"]
    assert proxy.heads[0].all("Authorization") == []
    assert https.heads[0].all("Proxy-Authorization") == []
    assert https.heads[0].all("Authorization") == [TOKEN["Authorization"]]
    assert https.connections == 1


async def test_a_proxy_of_the_environment_is_obeyed_and_can_be_turned_off(
    monkeypatch, connect, proxy
):
    monkeypatch.setenv("HTTPS_PROXY", proxy.base_url)
    proxy.refusal = 503
    with pytest.raises(TransportError, match=r"proxy cannot connect to the server \(503\)"):
        await connect("https://api.invalid").send(PUT, TOKEN, body_of(b"ab"))
    assert [head.target for head in proxy.heads] == ["api.invalid:443"]
    with pytest.raises(TransportError, match="does not resolve"):
        await connect("https://api.invalid", trust_env=False).send(READ, TOKEN)
    monkeypatch.setenv("NO_PROXY", "invalid")
    with pytest.raises(TransportError, match="does not resolve"):
        await connect("https://api.invalid").send(READ, TOKEN)
    assert len(proxy.heads) == 1


async def test_netrc_never_adds_a_password(monkeypatch, tmp_path, serve, connect):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = await serve(one)
    transport = connect(server.base_url)
    await transport.send(READ, {})
    await transport.send(READ, TOKEN)
    await transport.send(READ, {"x-api-key": "k"})
    assert [head.all("Authorization") for head in server.heads] == [
        [], [TOKEN["Authorization"]], [],
    ]  # fmt: skip


@pytest.mark.parametrize("call", [PUT, Call("POST", "/v1/process/audio")], ids=["PUT", "POST"])
@pytest.mark.parametrize("tunnel", [True, False], ids=["https", "http"])
async def test_a_submission_is_never_sent_twice_through_a_proxy(
    serve, connect, proxy, authority, ca_file, call, tunnel
):
    async def script(exchange):
        await exchange.request()
        exchange.reset()

    certificate = authority.issue_cert("127.0.0.1") if tunnel else None
    server = await serve(script, certificate=certificate)
    transport = connect(server.base_url, proxy=proxy.base_url, ca_file=ca_file)
    with pytest.raises(TransportError) as raised:
        await transport.send(call, TOKEN, body_of(b"ab"))
    assert raised.value.sent == "maybe"
    assert len(server.bodies) == server.connections == proxy.connections == 1


async def test_a_proxy_that_breaks_in_the_middle_leaves_the_body_incomplete(connect, proxy):
    proxy.refusal = 200

    async def script(exchange):
        await exchange.head()
        exchange.reset()

    proxy.script = script
    transport = connect("http://api.invalid", allow_http=True, proxy=proxy.base_url)
    with pytest.raises(TransportError) as raised:
        await transport.send(PUT, TOKEN, Body(held_back(b"ab", asyncio.Event()), 9, no_matter))
    assert raised.value.sent == "partial"


# A proxy that is spoken to by TLS


@pytest.fixture
async def tls_proxy(serve, authority, proxy):
    """The proxy by TLS, for ``localhost``: not the name of the servers behind it."""
    made = await serve(proxy.serving, certificate=authority.issue_cert("localhost"))
    proxy.base_url = made.base_url.replace("127.0.0.1", "localhost")
    return proxy


@pytest.mark.parametrize("tunnel", [True, False], ids=["https", "http"])
async def test_a_proxy_is_spoken_to_by_tls(
    serve, connect, tls_proxy, authority, ca_file, tunnel, recwarn
):
    certificate = authority.issue_cert("127.0.0.1") if tunnel else None
    server = await serve(one, certificate=certificate)
    tls_proxy.wants = BASIC
    given = tls_proxy.base_url.replace("https://", WITH_USER.replace("http:", "https:"))
    transport = connect(server.base_url, proxy=given, ca_file=ca_file)
    assert (await transport.send(PUT, TOKEN, body_of(b"ab"))).status == 201
    assert [head.method for head in tls_proxy.heads] == ["CONNECT" if tunnel else "PUT"]
    assert server.bodies == [b"ab"]
    assert server.heads[0].all("Authorization") == [TOKEN["Authorization"]]
    assert [str(one.message) for one in recwarn] == []


async def test_a_proxy_whose_certificate_does_not_verify_is_named(
    connect, tls_proxy, everything_told
):
    given = tls_proxy.base_url.replace("https://", WITH_USER.replace("http:", "https:"))
    transport = connect("https://api.invalid", proxy=given)
    with pytest.raises(UntrustedServerError, match="the proxy's certificate does not") as raised:
        await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert (raised.value.sent, raised.value.final) == ("no", True)
    assert "pr0xy" not in everything_told(raised.value)


async def test_a_proxy_that_speaks_no_tls_is_named(connect, proxy):
    given = proxy.base_url.replace("http:", "https:")
    proxy.script = speaks_no_tls
    with pytest.raises(TransportError, match="the proxy speaks no TLS on that port") as raised:
        await connect("https://api.invalid", proxy=given).send(PUT, TOKEN, body_of(b"ab"))
    assert (raised.value.sent, raised.value.final) == ("no", True)


async def speaks_no_tls(exchange):
    await exchange.reader.read(1)
    await exchange.answer(400)


# What a proxy refuses


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_407_is_final_and_names_the_setting(connect, proxy, scheme, everything_told):
    proxy.wants = "Basic other"
    given = proxy.base_url.replace("http://", WITH_USER)
    transport = connect(f"{scheme}://api.invalid", allow_http=True, proxy=given)
    for body in (None, body_of(b"ab")):
        with pytest.raises(TransportError, match=r"\(407\).*Config\.proxy") as raised:
            await transport.send(READ if body is None else PUT, TOKEN, body)
        assert (raised.value.sent, raised.value.final) == ("no", True)
        told = everything_told(raised.value)
        for secret in (PASSWORD, "pr0xy", BASIC.split()[1], TOKEN["Authorization"]):
            assert secret not in told


@pytest.mark.parametrize(
    ("status", "final"), [(403, True), (405, True), (429, False), (502, False), (504, False)]
)
async def test_a_tunnel_that_is_refused_sent_nothing(connect, proxy, status, final):
    proxy.refusal = status
    transport = connect("https://api.invalid", proxy=proxy.base_url)
    with pytest.raises(TransportError, match=str(status)) as raised:
        await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert (raised.value.sent, raised.value.final) == ("no", final)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_sent_nothing(connect, no_port, scheme):
    transport = connect(
        f"{scheme}://api.invalid", allow_http=True, proxy=f"http://127.0.0.1:{no_port}"
    )
    with pytest.raises(TransportError, match=r"cannot connect to the proxy \(.*refused") as raised:
        await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert (raised.value.sent, raised.value.final) == ("no", False)


# Certificates


@pytest.mark.parametrize("how", ["ca_file", "SSL_CERT_FILE"])
async def test_a_ca_of_ones_own_is_trusted(monkeypatch, https, connect, ca_file, how):
    if how == "SSL_CERT_FILE":
        monkeypatch.setenv(how, str(ca_file))
        with pytest.raises(UntrustedServerError):
            await connect(https.base_url, trust_env=False).send(READ, TOKEN)
    settings = {"ca_file": ca_file} if how == "ca_file" else {}
    assert (await connect(https.base_url, **settings).send(READ, TOKEN)).status == 201


async def test_certificates_in_a_directory_of_the_environment_are_trusted(
    monkeypatch, https, connect, authority, tmp_path
):
    with pytest.raises(UntrustedServerError):
        await connect(https.base_url).send(READ, TOKEN)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_DIR names no directory"):
        connect(https.base_url)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(UntrustedServerError):
        await connect(https.base_url).send(READ, TOKEN)


@pytest.mark.parametrize("how", ["ca_file", "SSL_CERT_FILE", "SYMBL_CA_FILE"])
@pytest.mark.parametrize("kind", ["missing", "empty", "directory"])
async def test_certificates_that_cannot_be_read_are_refused_by_name(
    monkeypatch, connect, tmp_path, how, kind
):
    file = tmp_path if kind == "directory" else tmp_path / "ca.pem"
    if kind == "empty":
        file.write_text("no certificate")
    if how.isupper():
        monkeypatch.setenv(how, str(file))
    settings = {"ca_file": file} if how == "ca_file" else {}
    with pytest.raises(ConfigurationError, match=f"{how} (cannot be read|holds no usable)"):
        connect("https://api.example.com", **settings)
    connect("http://127.0.0.1:1", **settings)  # needs none


async def test_a_hashed_directory_of_certificates_is_trusted(
    monkeypatch, https, connect, ca_file, tmp_path
):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, which makes the hash")
    given = await asyncio.to_thread(
        subprocess.check_output,
        [openssl, "x509", "-hash", "-noout", "-in", str(ca_file)],
        text=True,
    )
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    (hashed / f"{given.strip()}.0").symlink_to(ca_file)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{hashed}")
    assert (await connect(https.base_url).send(READ, TOKEN)).status == 201
    with pytest.raises(UntrustedServerError):
        await connect(https.base_url, trust_env=False).send(READ, TOKEN)


def expired(authority):
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return authority.issue_cert("127.0.0.1", not_before=past, not_after=past)


@pytest.mark.parametrize(
    ("certificate", "why", "remedy"),
    [
        (expired, "it has expired", "clock"),
        (lambda ca: ca.issue_cert("other.example.com"), "it is for another host", "name"),
        (lambda ca: ca.issue_cert("192.0.2.1"), "it is for another host", "name"),
        (lambda _: trustme.CA().issue_cert("127.0.0.1"), "no certificate authority known here",
         "Config.ca_file or SSL_CERT_FILE"),
    ],
    ids=["expired", "name", "address", "unknown"],
)  # fmt: skip
async def test_a_certificate_that_does_not_verify_says_why(
    serve, connect, authority, ca_file, certificate, why, remedy, everything_told
):
    server = await serve(one, certificate=certificate(authority))
    with pytest.raises(UntrustedServerError, match=why) as raised:
        await connect(server.base_url, ca_file=ca_file).send(PUT, TOKEN, body_of(b"ab"))
    assert remedy in str(raised.value)
    assert (raised.value.sent, raised.value.final) == ("no", True)
    told = everything_told(raised.value)
    assert TOKEN["Authorization"] not in told
    assert server.base_url not in told


async def test_a_self_signed_certificate_says_so(serve, connect):
    server = await serve(one, tls=True)
    with pytest.raises(UntrustedServerError, match=r"it is self-signed; name the file"):
        await connect(server.base_url).send(READ, TOKEN)


# A borrowed session


async def test_a_borrowed_session_keeps_its_own_proxy(monkeypatch, connect, proxy, no_port):
    monkeypatch.setenv("SYMBL_PROXY", f"http://127.0.0.1:{no_port}")
    proxy.refusal = 503
    # The session has it from the environment, as its ``trust_env`` says.
    monkeypatch.setenv("HTTPS_PROXY", proxy.base_url)
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(TransportError, match=r"proxy cannot connect .*\(503\)"):
            await connect("https://api.invalid", session=session).send(READ, TOKEN)
        with pytest.raises(ConfigurationError, match=r"Config\.proxy is set beside a session"):
            connect("https://api.invalid", session=session, proxy=proxy.base_url)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_a_session_with_an_auth_of_its_own_is_refused_at_the_start(connect):
    auth = aiohttp.BasicAuth("me", "hush")
    async with aiohttp.ClientSession(auth=auth) as session:
        with pytest.raises(ConfigurationError, match="session has an auth of its own") as refused:
            connect("https://api.invalid", session=session)
        connect("https://api.invalid", session=session, auth_header="x-api-key")
    assert "hush" not in str(refused.value)


async def test_a_fingerprint_that_does_not_match_is_final(https, connect, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    other = aiohttp.Fingerprint(bytes(32))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=other)) as session:
        with pytest.raises(UntrustedServerError, match="fingerprint") as raised:
            await connect(https.base_url, session=session).send(PUT, TOKEN, body_of(b"ab"))
    assert (raised.value.sent, raised.value.final) == ("no", True)


@pytest.mark.parametrize("is_secure", [True, False])
async def test_a_stream_goes_through_the_proxy_and_trusts_the_same_authority(
    authority, ca_file, proxy, is_secure
):
    proxy.wants = BASIC
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with open_peer(tls if is_secure else None) as peer:
        config = Config(
            base_url=f"{'https' if is_secure else 'http'}://127.0.0.1:{peer.port}",
            proxy=proxy.base_url.replace("http://", WITH_USER),
            ca_file=ca_file,
        )
        client = SymblClient(AccessToken("a-token-of-its-own"), config=config)
        async with client, client.stream("pier-4") as stream:
            await stream.send(b"12" * 100)
            (await peer.session()).break_off()
            await peer.session(at_least=2)
            await stream.send(b"34" * 100)
            await stream.stop()
    assert bytes(peer.sessions[1].audio) == b"34" * 100
    assert peer.sessions[0].token == "a-token-of-its-own"
    targets = {head.target for head in proxy.heads}
    assert len(proxy.heads) == 2
    expected = f"127.0.0.1:{peer.port}"
    assert targets == {expected if is_secure else f"http://{expected}/v1/streaming/pier-4"}
    assert (b"a-token-of-its-own" in proxy.passed) is not is_secure


async def test_a_stream_of_a_host_that_is_not_trusted_is_not_opened(authority, tmp_path):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with open_peer(tls) as peer:
        config = Config(base_url=f"https://127.0.0.1:{peer.port}")
        async with SymblClient(AccessToken("a-token-of-its-own"), config=config) as client:
            with pytest.raises(UntrustedServerError):
                async with client.stream():
                    pytest.fail("not trusted")
    assert peer.sessions == []


@pytest.mark.parametrize("refusal", [403, 407, 502])
async def test_a_proxy_that_refuses_a_stream_is_named_and_no_secret_is(ca_file, proxy, refusal):
    proxy.refusal = refusal
    config = Config(
        base_url="https://127.0.0.1:9",
        proxy=proxy.base_url.replace("http://", WITH_USER),
        ca_file=ca_file,
        retries=Retries(attempts=2, base=0.001, cap=0.001),
    )
    async with SymblClient(AccessToken("a-token-of-its-own"), config=config) as client:
        with pytest.raises(TransportError, match=f"proxy.*{refusal}") as caught:
            async with client.stream():
                pytest.fail("no tunnel")
    assert PASSWORD not in str(caught.value)
