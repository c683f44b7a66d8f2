"""The fake's two hosts on real HTTP over loopback: the API, and the one that has the files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.promises.service import Call, Say, Service, accept, refuse

PATH = "/v1/audio/text-to-audio"
SPEECH = "/v1/audio/tts"


class _Host(BaseHTTPRequestHandler):
    """What the two hosts have in common: a call is noted, meddled with, and answered."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    @property
    def service(self) -> Service:
        return cast("_Server", self.server).service

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def answer(self, call: Call, work: Callable[[str], Say]) -> None:
        service = self.service
        service.token = token = self.headers.get("Authorization", service.token).removeprefix("Bearer ")
        account = service.account_of(token)
        meddled = service.meddle(call) if account is not None else refuse(401, 1002, "api key not found")
        said = work(account or "") if meddled is None or meddled.work else meddled
        said = meddled or said
        if said.status is None:
            self.close_connection = True
            return
        self.send_response(said.status)
        for name, value in {"Content-Length": str(len(said.body)), **service.headers(call), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)


class _Api(_Host):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.service.note("create", str(body.get("external_task_id") or ""))
        make = self.service.speak if self.path == SPEECH else self.service.create
        self.answer(call, lambda account: make(body, account))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == PATH:
            number, size = int(asked.get("pageNum", "1")), int(asked.get("pageSize", "30"))
            self.answer(self.service.note("list"), lambda account: self.service.page(number, size, account))
        elif parts.path.startswith(f"{PATH}/"):
            wanted = unquote(parts.path.removeprefix(f"{PATH}/"))
            self.answer(self.service.note("query", wanted), lambda account: self.service.query(wanted, account))
        elif parts.path.startswith(SPEECH):
            self.answer(self.service.note("query"), lambda _: refuse(404, 1202, "no such call"))
        else:
            self.answer(self.service.note("costs"), lambda _: accept(self.service.packs))


class _Files(_Host):
    def do_GET(self) -> None:
        name = urlsplit(self.path).path.removeprefix("/")
        self.answer(self.service.note("file", name), lambda _: self.service.file(name))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: Service

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed or hung up."""


@contextmanager
def running() -> Iterator[Service]:
    """Serve both hosts on ports of their own until the test has ended."""
    service = Service()
    servers = [_Server(("127.0.0.1", 0), handler) for handler in (_Api, _Files)]
    service.url, service.files_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.service = service
        thread.start()
    try:
        yield service
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
