"""`kling-batch sandbox` serves, with a fault file and without, whether callbacks are signed or not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("faults", [None, "version: 1\nseed: 7\n"], ids=["no faults", "a fault file"])
@pytest.mark.parametrize("secret", ["", SECRET], ids=["unsigned", "signed"])
def test_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: str | None, secret: str) -> None:
    """The first line of stdout is its address."""
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", secret)
    options = []
    if faults is not None:
        (tmp_path / "faults.yaml").write_text(faults, encoding="utf-8")
        options = ["--faults", str(tmp_path / "faults.yaml")]
    command = [sys.executable, "-m", "kling_batch", "sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert first.startswith("http://127.0.0.1:"), said
