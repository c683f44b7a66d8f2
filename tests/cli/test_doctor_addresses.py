"""`kling-batch doctor` asks whether the service could read what a manifest names: over TLS, on this machine."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kling_batch.cli import main
from kling_batch.delivery import download
from kling_batch.sandbox.settings import SANDBOX_API_KEY


class _Host(BaseHTTPRequestHandler):
    """Has a file at `/there.mp4`, nothing elsewhere, and keeps the head of every request."""

    seen: list[str]

    def do_HEAD(self) -> None:
        self.seen.append(f"{self.command} {self.path}\n{self.headers}")
        self.send_response(200 if self.path == "/there.mp4" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Serve it with a certificate that this process trusts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Host", (_Host,), {"seen": []}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path / "host.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "host.pem"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _certificate(path: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a host of files")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = serialization.Encoding.PEM
    secret = key.private_bytes(text, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(text) + secret)
    return path


def _asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], **urls: str) -> list[dict[str, str]]:
    jobs = "".join(f"  - {{id: {id_}, kind: video-to-audio, video_url: '{url}'}}\n" for id_, url in urls.items())
    (tmp_path / "m.yaml").write_text(f"version: 1\nproject: p\njobs:\n{jobs}")
    assert main(["doctor", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out"), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    return [row for row in told["checks"] if row["check"] == "video_url"]


def test_an_address_that_does_not_answer_is_a_warning(
    host: ThreadingHTTPServer, serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the job and why, by one HEAD an address, without a key; nothing else stands in the way of a run."""
    serve()
    url = f"https://127.0.0.1:{host.server_port}"
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = f"https://127.0.0.1:{nobody.getsockname()[1]}/x.mp4"
    there, missing, dead, user, odd = _asked_rows(
        _asked(
            tmp_path,
            capsys,
            there=f"{url}/there.mp4",
            missing=f"{url}/gone.mp4?signature=hush",
            missing2=f"{url}/gone.mp4?signature=hush",
            dead=gone,
            user="https://me:hush@127.0.0.1/x.mp4",
            odd="https://127.0.0.1:port/x.mp4",
        )
    )
    assert there == ("ok", "there: the address answers")
    assert missing == ("warning", "missing and 1 other job: the address does not answer a HEAD: HTTP 404")
    assert dead[1].startswith("dead: the address does not answer a HEAD: the connection failed")
    assert user[1] == (
        "user: the address does not answer a HEAD: "
        "the file's URL carries a user name or password, which must not be sent"
    )
    assert odd[1].startswith("odd: the address does not answer a HEAD: the URL cannot be used")
    seen = "".join(host.RequestHandlerClass.seen)  # type: ignore[attr-defined]
    assert (seen.count("HEAD "), seen.lower().count("authorization"), SANDBOX_API_KEY in seen) == (2, 0, False)


def _asked_rows(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    assert "hush" not in json.dumps(rows)
    return [(row["state"], row["message"]) for row in rows]


def test_a_host_that_never_answers_is_not_waited_for(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each address has its time, and all have theirs together."""
    serve()
    monkeypatch.setattr(download, "HEAD_S", 0.05)
    monkeypatch.setattr(download, "HEADS_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        (row,) = _asked(tmp_path, capsys, a=f"{url}/a.mp4")
        assert "not answered while" in row["message"]
        monkeypatch.setattr(download, "HEADS_S", 9.0)
        (row,) = _asked(tmp_path, capsys, a=f"{url}/a.mp4")
        assert "no answer for" in row["message"]
