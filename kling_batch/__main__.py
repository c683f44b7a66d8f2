"""The program as a process: `kling-batch` and `python -m kling_batch` begin and end here."""

import sys

from kling_batch.cli import main

if __name__ == "__main__":
    sys.exit(main())
