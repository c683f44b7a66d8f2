"""The program as a process: `kling-batch` and `python -m kling_batch` begin and end here."""

import gc
import os
import sys
from contextlib import suppress

_STDERR = 2
_OBJECTS_BETWEEN_COLLECTIONS = 500_000
"""The values of a large set live until the end: with Python's 700, a third of a run looks for cycles in them."""


def main() -> int:
    """Run the command line."""
    silence_libraries()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from kling_batch.cli import main as command_line

    return command_line()


def silence_libraries() -> None:
    """Speak through a copy of stderr, and let what C libraries write to descriptor 2 go nowhere.

    libmpg123, the MP3 decoder inside libsndfile, remarks upon damage there, which would tear a progress bar, and cannot
    be told not to.
    """
    with suppress(AttributeError, OSError):  # where it is closed, there is nothing to silence
        if sys.stderr.fileno() == _STDERR:
            own = os.dup(_STDERR)
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
            sys.stderr = os.fdopen(own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)


if __name__ == "__main__":
    sys.exit(main())
