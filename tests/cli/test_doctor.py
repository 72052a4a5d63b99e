"""``symbl-aio doctor``: right and wrong machines, each with its remedy."""

from __future__ import annotations

import re
import ssl
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from symbl_aio.cli.doctor import _clock
from tests.cli.upload.recordings import record
from tests.shell import CREDENTIALS, Ended, Shell
from tests.support import QUICK_VARIABLES


def checks(ended: Ended) -> dict[str, dict[str, str]]:
    return {str(line["name"]): line for line in ended.lines if line["event"] == "check"}


def plain(tmp_path: Path, **variables: str) -> Shell:
    return Shell(SYMBL_AIO_CONFIG=str(tmp_path / "config.toml"), **CREDENTIALS | variables)


async def test_a_machine_without_faults(symbl, tmp_path):
    shell = plain(tmp_path, SYMBL_BASE_URL=symbl.base_url)

    ended = await shell.run("doctor", "--json")
    people = await shell.run("doctor")

    assert (ended.code, ended.err) == (0, "")
    found = checks(ended)
    assert {one["status"] for one in found.values()} == {"ok"}
    for name in ("SQLite", "configuration", "recognition", "job limit", "host", "proxy", "DNS"):
        assert found[name]["detail"]
    assert "accepts the credentials" in found["token"]["detail"]
    assert "newer host" in found["paths"]["detail"]
    assert "does not send a recording twice" in found["double sending"]["detail"]
    assert "secret" not in people.out
    assert "SYMBL_APP_SECRET=(hidden)  from the environment" in people.out
    assert symbl.submissions == []


async def test_the_job_limit_is_that_of_the_last_upload(symbl, tmp_path):
    shell = plain(tmp_path, SYMBL_BASE_URL=symbl.base_url, XDG_STATE_HOME=str(tmp_path))
    record(tmp_path / "recordings", "a.wav", "b.wav")

    await shell.run("upload", tmp_path / "recordings")
    ended = await shell.run("doctor", "--json")

    assert re.search("the last upload saw [0-9]+$", checks(ended)["job limit"]["detail"])


async def test_wrong_credentials_have_their_remedy(symbl, tmp_path):
    shell = plain(tmp_path, SYMBL_BASE_URL=symbl.base_url, SYMBL_APP_SECRET="wrong-4711")

    ended = await shell.run("doctor", "--json")

    assert ended.code == 2
    assert "SYMBL_APP_ID" in checks(ended)["token"]["remedy"]
    assert "wrong-4711" not in ended.out


async def test_a_server_that_does_not_run_is_named(unused_tcp_port, tmp_path):
    shell = plain(tmp_path, SYMBL_BASE_URL=f"http://127.0.0.1:{unused_tcp_port}")

    ended = await shell.run("doctor")

    assert ended.code == 3
    assert "-> check that the server runs" in ended.out


async def test_a_host_without_a_name_is_named(tmp_path):
    ended = await plain(tmp_path, SYMBL_BASE_URL="https://does-not-exist.invalid").run(
        "doctor", "--json"
    )
    assert ended.code == 3
    assert checks(ended)["DNS"]["status"] == "wrong"


async def test_a_setting_that_is_wrong_is_named(tmp_path):
    ended = await plain(tmp_path, SYMBL_LIMITS_JOBS="many").run("doctor", "--json")
    assert ended.code == 2
    assert "SYMBL_LIMITS_JOBS" in checks(ended)["settings"]["detail"]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_read_end_no_other_check(content, tmp_path):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    shell = plain(tmp_path, SYMBL_BASE_URL="https://127.0.0.1:1", SYMBL_CA_FILE=str(file))

    ended = await shell.run("doctor", "--json")

    found = checks(ended)
    assert ended.code == 2
    assert "SYMBL_CA_FILE" in found["settings"]["detail"]
    assert found["double sending"]["status"] == "ok"


async def test_a_proxy_that_is_none_is_no_fault_of_the_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", ":::")
    shell = plain(tmp_path, SYMBL_BASE_URL="https://api.example.com")

    ended = await shell.run("doctor", "--json")

    found = checks(ended)
    assert (ended.code, "token" in found) == (2, False)
    assert "HTTPS_PROXY is not a URL; give" in found["settings"]["detail"]


async def test_the_proxy_is_the_one_that_the_client_takes(tmp_path, monkeypatch):
    host = "does-not-exist.invalid"
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:hunter2@proxy.invalid:3128")
    shell = plain(tmp_path, SYMBL_BASE_URL=f"https://{host}")

    through = checks(await shell.run("doctor", "--json"))
    monkeypatch.setenv("NO_PROXY", f"{host}:443")
    past = checks(await shell.run("doctor", "--json"))

    assert through["proxy"]["detail"] == "proxy.invalid:3128, which resolves the host"
    assert "DNS" not in through
    assert past["proxy"]["detail"] == "none for this host"
    assert past["DNS"]["status"] == "wrong"


async def test_a_file_that_others_can_read_is_named(symbl, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(f"base_url = '{symbl.base_url}'\napp_id = 'app'\napp_secret = 'secret'\n")
    path.chmod(0o644)

    of_the_file_alone = dict.fromkeys(QUICK_VARIABLES, "")
    shell = Shell(SYMBL_AIO_CONFIG=str(path), **of_the_file_alone)
    ended = await shell.run("doctor", "--json")

    assert ended.code == 0
    assert checks(ended)["configuration"]["remedy"] == f"chmod 600 {path}"
    origins = [line["detail"] for line in ended.lines if line["name"] == "setting"]
    assert all(detail.endswith("from the file") for detail in origins)


async def test_a_certificate_that_does_not_verify_is_named_and_its_ca_helps(tmp_path, monkeypatch):
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    variables = {"SYMBL_BASE_URL": f"https://127.0.0.1:{port}"}

    unknown = await plain(tmp_path, **variables).run("doctor", "--json")
    known = await plain(tmp_path, **variables, SYMBL_CA_FILE=str(tmp_path / "ca.pem")).run(
        "doctor", "--json"
    )
    # What the client is told not to look at helps neither of them.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    untrusted = await plain(tmp_path, **variables, SYMBL_TRUST_ENV="0").run("doctor", "--json")
    await runner.cleanup()

    assert unknown.code == untrusted.code == 3
    assert checks(untrusted)["TLS"]["detail"] == checks(unknown)["TLS"]["detail"]
    assert "SYMBL_CA_FILE" in checks(unknown)["TLS"]["remedy"]
    assert checks(known)["TLS"]["status"] == "ok"
    assert checks(known)["TLS"]["detail"].startswith("TLSv1.3, issued by")


@pytest.mark.parametrize(
    "ours,status,words",
    [
        (1000.0, "ok", "within 1 s"),
        (1030.0, "ok", "within"),
        (5000.0, "warning", "ahead of"),
        (100.0, "warning", "900 s behind"),
    ],
)
def test_clocks_are_compared(ours, status, words):
    finding = _clock(formatdate(1000.0, usegmt=True), ours, ours + 0.2)
    assert finding.status == status
    assert words in finding.detail


def test_an_answer_without_a_date_is_no_error():
    assert _clock(None, 1.0, 2.0).status == "warning"
