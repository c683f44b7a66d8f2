"""The program as a process: `kling-batch` and `python -m kling_batch` begin and end here."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO

_STDERR = 2
_OBJECTS_BETWEEN_COLLECTIONS = 500_000
"""The values of a large set live until the end: with Python's 700, a third of a run looks for cycles in them."""


class Outlet(io.FileIO):
    """Writes for as long as somebody takes it; what nobody takes is dropped, so that the work goes on."""

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or drop."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return len(data)


def main() -> int:
    """Run the command line."""
    open_streams()
    silence_libraries()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        from kling_batch.cli import main as command_line

        sys.unraisablehook = threading.excepthook = _log
        status = command_line()
    except KeyboardInterrupt:  # in the instant before the next one ends the program at once
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # else the interpreter, as it goes, would let another Ctrl-C kill it
    return status


def _log(met: Any) -> None:
    """Log what is met where nobody can catch it: in a thread, or while something is thrown away."""
    from kling_batch.cli.log import LOGGER

    LOGGER.error("Nobody could catch this", exc_info=met.exc_value)


def open_streams() -> None:
    """Have three streams that take everything: closed, broken, full, or narrow in what they can say.

    What is closed leads to the null device: else the next file that is opened, perhaps the journal, would be stderr.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end
        elif mode == "w":
            setattr(sys, name, _outlet(stream, stream.fileno()))


def _outlet(stream: TextIO, number: int) -> TextIO:
    """Write to a descriptor as a stream did."""
    if os.name == "nt" and stream.isatty():  # Python writes to a console of Windows by other means
        return stream
    with suppress(OSError):
        os.set_blocking(number, True)
    out = io.BufferedWriter(Outlet(number, "w", closefd=False))
    return io.TextIOWrapper(out, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)


def silence_libraries() -> None:
    """Speak through a copy of stderr, and let what C libraries write to descriptor 2 go nowhere.

    libmpg123, the MP3 decoder inside libsndfile, remarks upon damage there, which would tear a progress bar, and cannot
    be told not to.
    """
    with suppress(AttributeError, OSError):  # where it is closed, there is nothing to silence
        if sys.stderr.fileno() == _STDERR:
            own = os.dup(_STDERR)
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
            sys.stderr = _outlet(sys.stderr, own)


if __name__ == "__main__":
    sys.exit(main())
