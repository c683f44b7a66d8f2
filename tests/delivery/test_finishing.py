"""What is done with a sound is a function of values."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.finishing import Wanted, finish


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
    """What goes in and what comes out can be sent; what cannot be made is said."""
    source = tmp_path / "door.wav"
    soundfile.write(source, np.full((9000, 1), sample, np.float32), 9000, subtype="FLOAT")
    function, sent = pickle.loads(pickle.dumps((finish, Wanted(recipe=recipe))))  # noqa: S301 - we have just written it
    found = pickle.loads(pickle.dumps(function(source, sent, folder=tmp_path, name="made")))  # noqa: S301
    assert [f"{remark.check} {remark.then}" for remark in found.remarks] == remarks
    assert [file.record.format for file in found.files] == formats
    assert all(file.path.is_file() and file.path == tmp_path / file.record.path for file in found.files)
