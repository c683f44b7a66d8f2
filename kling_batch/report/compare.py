"""What is new, gone, changed and louder than in an earlier `report.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from kling_batch.disk import MOST_BYTES, disk_border, open_file
from kling_batch.errors import UsageError
from kling_batch.model import Comparison, RunResult, Shape, TakeKey

_WORTH_SAYING_LU = 0.5


def compare(path: Path, result: RunResult, shapes: Mapping[str, Shape]) -> Comparison:
    """Compare a run's sounds with those of an earlier `report.json`.

    Args:
        path: The earlier report.
        result: The run.
        shapes: How loud sounds are, by their hashes, where that is known.

    Raises:
        UsageError: There is no such report, or it is none.
        DiskUnusable: It cannot be read.
    """
    before = _hashes(path)
    now = {take.take.key: {file.format: file.sha256 for file in take.files} for take in result.takes if take.files}
    differ = [key for key in now if key in before and not before[key].items() & now[key].items()]
    changed = {key: _louder(before[key], now[key], shapes) for key in differ}
    gone = tuple(key for key in before if key not in now)
    return Comparison(name=path.name, new=frozenset(now.keys() - before.keys()), gone=gone, changed=changed)


def change_of(key: TakeKey, found: Comparison) -> str:
    """Say how a take differs; empty where it does not."""
    if key in found.new:
        return "new"
    if key not in found.changed:
        return ""
    louder = found.changed[key]
    if louder is None or abs(louder) < _WORTH_SAYING_LU:
        return "changed"
    return f"changed, {abs(louder):.1f} LU {'louder' if louder > 0 else 'quieter'}"


def differences(found: Comparison) -> Iterator[str]:
    """Say of each take that differs how it does, a line each."""
    for key in sorted({*found.new, *found.gone, *found.changed}):
        yield f"{key}: {change_of(key, found) or 'gone'}"


def totals(found: Comparison) -> str:
    """Count what differs, in a line."""
    louder = sum(1 for level in found.changed.values() if level is not None and level >= _WORTH_SAYING_LU)
    words = f"{len(found.new)} new, {len(found.gone)} gone, {len(found.changed)} changed"
    return f"{words}, {louder} of them louder" if louder else words


def _hashes(path: Path) -> dict[TakeKey, dict[str, str]]:
    """Read the hash of each take's file of each format."""
    with disk_border(path, option="--against"):
        try:
            with open_file(path) as file:
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            raise UsageError(f"{path}: there is no such report.", hint="Name a report.json.") from None
    try:
        takes = json.loads(data)["takes"]
        named = {TakeKey(str(take["job_id"]), int(take["take"])): take["files"] for take in takes}
        return {key: {str(f["format"]): str(f["sha256"]) for f in files} for key, files in named.items() if files}
    except (ValueError, TypeError, KeyError, RecursionError):
        hint = "Name a report.json that kling-batch wrote."
        raise UsageError(f"{path} is no report of kling-batch.", hint=hint) from None


def _louder(before: Mapping[str, str], now: Mapping[str, str], shapes: Mapping[str, Shape]) -> float | None:
    """Say by how much louder a sound is, in LU."""
    levels = [next((shapes[one].loudness for one in of.values() if one in shapes), None) for of in (before, now)]
    return None if levels[0] is None or levels[1] is None else levels[1] - levels[0]
