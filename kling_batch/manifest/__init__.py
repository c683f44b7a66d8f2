"""What a person wrote, as jobs and takes: read with positions, checked by the schema, expanded."""

from __future__ import annotations

from kling_batch.manifest.loading import load

__all__ = ["load"]
