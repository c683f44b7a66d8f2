"""The log file: it appears with the first thing that should not have happened, and nothing depends on it."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from kling_batch import __version__

LOGGER = logging.getLogger("kling_batch")


class LogFile(logging.Handler):
    """Keeps what is logged, without any key, in the user's state folder, else where temporary files go.

    `path` is where; None as long as there is nothing, or where it cannot be written.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.path: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        text = self.format(record)
        for name, value in os.environ.items():
            if name.startswith("KLING_") and name.endswith(("_KEY", "_SECRET")):
                for secret in value.replace(",", " ").split():
                    text = text.replace(secret, "[hidden]")
        with suppress(OSError):
            path = self.path or _new_file()
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{text}\n")
            self.path = path


def _new_file() -> Path:
    """Make a file that nobody else can read.

    Raises:
        OSError: There is no place for it.
    """
    import tempfile

    from kling_batch.records.account import state_folder

    state = state_folder(os.environ)
    for folder in (state and state / "logs", None):
        with suppress(OSError):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix="kling-batch-", suffix=".log", dir=folder)
            os.close(number)
            return Path(name)
    raise OSError


LOG = LogFile()


def begin() -> None:
    """Have whatever is logged from now on written there, and nothing of it to the terminal."""
    LOG.path = None
    LOG.setFormatter(logging.Formatter(f"kling-batch {__version__} %(asctime)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(LOG)
