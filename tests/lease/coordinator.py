"""The command line with leases of another life: `python -m tests.lease.coordinator SECONDS ARGUMENT...`."""

from __future__ import annotations

import sys

from kling_batch.__main__ import main
from kling_batch.records import lease

if __name__ == "__main__":
    lease.LIFE_S = float(sys.argv.pop(1))
    sys.exit(main())
