"""The command line with a short settle time, as nothing is late here: `python -m tests.docs.quick ARGUMENT...`."""

from __future__ import annotations

import sys

from kling_batch.__main__ import main
from kling_batch.cli import cli

if __name__ == "__main__":
    cli.context_settings["default_map"] = {command: {"settle_time_s": 0.2} for command in ("run", "reroll", "restore")}
    sys.exit(main())
