"""What the service says is shown as words, whatever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests import actions
from tests.promises.machine import Machine
from tests.promises.service import Call, Say, Service

TIMES: list[Any] = [1e30, -1e30, 10**400, float("inf"), float("nan"), "soon", True, None, [], 1e15]


@pytest.mark.parametrize("output", ["text", "json"])
def test_packs_with_hostile_words_and_times_are_shown(machine: Machine, service: Service, output: str) -> None:
    """No time is beyond the calendar, no name breaks a line, moves a cursor or commands a runner; the rest is shown."""
    name = "p\n::add-mask::x\r::stop-commands::y\x1b]0;t\x07\u202e\ud800 😀"
    rows = [{"resource_pack_name": name, "invalid_time": time, "remaining_quantity": 1e400} for time in TIMES]
    body = json.dumps({"code": 0, "message": "SUCCEED", "data": {"resource_pack_subscribe_infos": rows}})

    def meddle(call: Call) -> Say | None:
        return Say(status=200, body=body.encode()) if call.kind == "costs" else None

    service.meddle = meddle
    machine.folder.mkdir(parents=True)
    ended = subprocess.run(
        [sys.executable, "-m", "kling_batch", "account", "--format", output],
        cwd=machine.folder, env=machine.variables(), capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert actions.commands(ended.stdout + ended.stderr) == []
    assert not set("\x1b\x07\u202e\r") & set(ended.stdout)
    assert ended.stdout.count("p ::add-mask" if output == "text" else '"invalid_time"') == len(TIMES)
