"""The program as a process: `kling-batch` and `python -m kling_batch` begin and end here."""

import atexit
import gc
import sys

_YOUNG = 50_000
"""New objects after which the collector looks for cycles: takes last, and walking them takes a fifth of a plan."""


def main() -> int:
    """Run the command line, with the collector set for a program that makes much and lets go of little."""
    gc.set_threshold(_YOUNG)
    atexit.register(gc.freeze)  # what is left goes with the process: it is not looked through for cycles first
    from kling_batch.cli import main as command_line  # what it imports is made under that setting, too

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
