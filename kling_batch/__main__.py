"""`python -m kling_batch` is `kling-batch`."""

import sys

from kling_batch.cli import main

sys.exit(main())
