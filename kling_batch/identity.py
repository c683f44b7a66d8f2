"""A take's name on the service: the same on any machine and any day."""

from __future__ import annotations

import base64
import hashlib
import json

from kling_batch.model import Take

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
"""Made once: `json.dumps` makes it anew for every name."""


def external_task_id(take: Take, attempt: int = 1) -> str:
    """Name a take's task: `kb-` and 160 bits of a SHA-256, in lower-case base32.

    A pure function of project, job id, task kind, request as sent, edition, take number and attempt number,
    and of nothing else: neither files, formats, tags and meta, nor order or concurrency, move it. `attempt`
    counts from 1. 35 characters of `[a-z2-7-]`, never all digits: the form that the service's rules
    on `external_task_id` leave safe (its length and character set are not documented).
    """
    job = take.job
    facts = [job.project, job.id, job.kind, dict(job.request), take.edition, take.number, attempt]
    digest = hashlib.sha256(_encode(facts).encode("ascii")).digest()[:20]
    return "kb-" + base64.b32encode(digest).decode("ascii").lower()
