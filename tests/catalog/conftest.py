"""A service with a kind of task that the program has never heard of, and the program beside that kind's file."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

CHECKOUT = Path(__file__).parents[2]
PATH = "/v2/voices/recital"
SECONDS = 2.0
RECITAL: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "required": ["verse", "speaker"],
    "properties": {
        "verse": {"title": "the words", "description": "What is said.", "type": "string", "maxLength": 40},
        "speaker": {"title": "who speaks", "description": "A voice.", "type": "string", "enum": ["ada", "bob"]},
        "tempo": {"title": "the speed", "description": "How fast.", "type": "number", "minimum": 0.5, "maximum": 2.0,
                  "multipleOf": 0.1, "default": 1.0},
    },
    "x-kling": {
        "path": PATH,
        "words": "verse",
        "length": None,
        "one_of": [],
        "inputs": {},
        "external_id": None,
        "callback": None,
        "synchronous": False,
        "rights": False,
        "makes": None,
        "outputs": {
            "flac": {"result": "clips", "url": "lossless", "length": "lossless_s", "bytes_per_s": 80_000},
            "ogg": {"result": "clips", "url": "small", "length": "small_s", "bytes_per_s": 12_000},
        },
        "formats": ["ogg"],
        "pool": "voices",
        "slots": 2,
        "units": "0.40",
        "final_messages": ["unspeakable"],
        "meant": {"poem": "verse"},
        "unsupported": {"pitch": "the service knows no pitch"},
    },
}  # fmt: skip


@dataclass
class Service:
    """Its books: what was sent, and how many tasks were in flight together. `lose` drops the answers to so many."""

    room: int = 4
    """Slots of the account; a task takes two."""
    lose: int = 0
    polls: int = 2
    """How often a task has to be looked at before it ends."""
    url: str = ""
    sent: list[dict[str, Any]] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    refused: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, body: dict[str, Any]) -> Any:
        flying = sum(1 for looks in self.looks if looks < self.polls)
        if 2 * (flying + 1) > self.room:
            self.refused += 1
            return None
        self.sent.append(body)
        self.looks.append(0)
        self.most = max(self.most, flying + 1)
        return {"task_id": str(700 + len(self.sent)), "task_status": "submitted"}

    def task(self, number: int) -> dict[str, Any]:
        self.looks[number] += 1
        row: dict[str, Any] = {"task_id": str(701 + number), "task_status": "processing"}
        if self.looks[number] < self.polls:
            return row
        clip = {"lossless": f"{self.url}/files/{number}.flac", "lossless_s": str(SECONDS),
                "small": f"{self.url}/files/{number}.ogg", "small_s": str(SECONDS)}  # fmt: skip
        ended = {"task_status": "succeed", "task_result": {"clips": [clip]}, "final_unit_deduction": "0.40"}
        return {**row, **ended}


def sound(form: str, number: int) -> bytes:
    """Make a file of one format."""
    tone = np.sin(np.arange(round(SECONDS * 8000)) * (0.2 + number / 100)) * 0.2
    file = io.BytesIO()
    soundfile.write(file, tone, 8000, format=form.upper())
    return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.service.lock:
            assert self.path == PATH
            made = self.service.create(body)
            lost = made is not None and self.service.lose > 0
            self.service.lose -= lost
        if lost:
            self.close_connection = True
        elif made is None:
            self._say(429, {"code": 1303, "message": "parallel task over resource pack limit"})
        else:
            self._say(200, {"code": 0, "message": "SUCCEED", "data": made})

    def do_GET(self) -> None:
        with self.service.lock:
            path, _, query = self.path.partition("?")
            if path.startswith("/files/"):
                number, _, form = path.removeprefix("/files/").partition(".")
                self._send(200, sound(form, int(number)))
            elif path == PATH:
                first_page = "pageNum=1&" in query
                rows = [self.service.task(n) for n in range(len(self.service.sent))] if first_page else []
                self._say(200, {"code": 0, "message": "SUCCEED", "data": rows})
            else:
                number = path.removeprefix(f"{PATH}/")
                assert number.isdigit(), "a task of this kind has no name of ours"
                self._say(200, {"code": 0, "message": "SUCCEED", "data": self.service.task(int(number) - 701)})

    def log_message(self, *_: Any) -> None:
        pass

    def _say(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def service() -> Iterator[Service]:
    """Serve the made-up kind on loopback."""
    books = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": books}))
    books.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield books
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path, service: Service) -> Program:
    """Start the program as it is, in a checkout that differs by one file alone: `schemas/tasks/recital.json`."""
    house, folder = tmp_path / "house", tmp_path / "work"
    shutil.copytree(CHECKOUT / "schemas", house / "schemas")
    (house / "schemas" / "tasks" / "recital.json").write_text(json.dumps(RECITAL), encoding="utf-8")
    (house / "kling_batch").symlink_to(CHECKOUT / "kling_batch")
    folder.mkdir()
    homes = {name: str(tmp_path / name) for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    settings = {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    keys = {"KLING_API_KEY": "key-of-the-made-up-service", "KLING_BASE_URL": service.url}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kling_batch", *words],
            cwd=folder, env={**homes, **settings, **keys}, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the program is started."""
    return tmp_path / "work"
