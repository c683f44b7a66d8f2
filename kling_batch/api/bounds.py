"""What a person may ask of a run, as least and most; None is no bound. Times are seconds."""

from __future__ import annotations

CONCURRENCY = (1, 1000)
RETRIES = (0, 20)
POLL_INTERVAL_S = (0.05, 3600.0)
SETTLE_TIME_S = (0.0, 3600.0)
DEADLINE_S = (0.1, None)
PATIENCE_S = (1.0, None)
