"""What sounds look like, as the journal keeps it for the page to listen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.model import Shape
from kling_batch.records.attempts import Stage
from kling_batch.records.snapshot import read_shapes, read_snapshot

SHAPE = Shape(peak=0.5, loudness=-18.25, waveform=bytes(range(120)))
SILENCE = Shape(peak=0.0, loudness=None, waveform=bytes(120), true_peak=0.0, rate=48_000, channels=2, start_s=0.25)


@pytest.mark.parametrize("shape", [SHAPE, SILENCE])
def test_a_shape_is_kept_with_its_delivery_and_found_by_hash(
    open_journal: Any, attempt: Any, placed: Any, out: Path, shape: Shape
) -> None:
    """Also while the run that wrote it goes on; a hash that nobody wrote is not known."""
    file = replace(placed(), shape=shape)
    asyncio.run(open_journal().save(attempt(stage=Stage.DELIVERED), [file]))
    assert read_shapes(out) == {file.record.sha256: shape}


def test_a_plan_reads_no_shapes(open_journal: Any, attempt: Any, placed: Any, out: Path) -> None:
    """They are for the page alone: a run of a finished batch need not wait for them."""
    file = replace(placed(), shape=SHAPE)
    asyncio.run(open_journal().save(attempt(stage=Stage.DELIVERED), [file]))
    assert read_snapshot(out).files == {"kb-1": [placed()]}


def test_no_journal_and_an_older_one_know_no_shapes(open_journal: Any, out: Path) -> None:
    """A page is written without waveforms, and nothing is made or brought up to date by asking."""
    assert read_shapes(out) == {}
    assert not out.exists()
    journal = open_journal()
    later = ("kind", "answer", "rights_by", "rights_at", "voice_id", "recipe", "remarks")
    dropped = "".join(f"ALTER TABLE attempts DROP COLUMN {name};" for name in later)
    journal._connection.executescript(f"DROP TABLE shapes; DROP TABLE finished; {dropped} PRAGMA user_version = 2;")
    assert read_shapes(out) == {}


def test_a_journal_that_cannot_be_read_is_named(open_journal: Any, file: Path, out: Path) -> None:
    """As everywhere: with its path, and what to do."""
    open_journal().close()
    file.write_bytes(b"this was a journal once" * 500)
    with pytest.raises(DiskUnusable, match="cannot be used") as caught:
        read_shapes(out)
    assert str(file) in caught.value.message
