"""What is done with a sound is a function of values."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.finishing import Sound, finish
from kling_batch.records.store import FolderStore


@pytest.mark.parametrize(
    ("recipe", "sample", "remarks", "formats"),
    [
        ({"finish": {"peak": -6, "formats": ["wav", "ogg"]}}, 0.5, [], ["wav", "ogg"]),
        (
            {"check": {"silent": {"below": -60, "then": "fail"}}, "finish": {"formats": ["wav"]}},
            0.0,
            ["silent fail"],
            [],
        ),
        ({"check": {"silent": {"below": -60, "then": "warn"}}}, 0.0, ["silent warn"], []),
        ({"finish": {"formats": ["wav"]}}, np.nan, ["finish fail"], []),
        ({"check": {"silent": {"below": -60, "then": "warn"}}}, np.nan, ["check warn"], []),
    ],
)
def test_another_process_could_do_it(
    tmp_path: Path, recipe: dict[str, Any], sample: float, remarks: list[str], formats: list[str]
) -> None:
    """What goes in and what comes out can be sent; what was made is in the store, and what cannot be is said."""
    source, store = tmp_path / "door.wav", FolderStore(tmp_path / "store", namespace="live")
    soundfile.write(source, np.full((9000, 1), sample, np.float32), 9000, subtype="FLOAT")
    sound = Sound(source=source, recipe=recipe, folder=tmp_path, name="made")
    function, sent, store = pickle.loads(pickle.dumps((finish, sound, store)))  # noqa: S301 - we have just written it
    found = pickle.loads(pickle.dumps(function(sent, store=store)))  # noqa: S301
    assert [f"{remark.check} {remark.then}" for remark in found.remarks] == remarks
    assert [file.format for file in found.files] == formats
    assert all(store.has(file.sha256) and file.path == tmp_path / f"made.{file.format}" for file in found.files)
