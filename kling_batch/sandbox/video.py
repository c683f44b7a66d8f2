"""Videos: how long one is, and one with a picture for a sound."""

from __future__ import annotations

import io
import struct
from typing import Any

_SIZE = (160, 90)
_FRAMES_PER_S = 10
_GROUND, _BAR = (40, 44, 60), (230, 170, 60)


def length_s(data: bytes) -> float | None:
    """Read from its movie header how long an MP4 or MOV is; None for what has none."""
    at = data.find(b"mvhd") + 4
    form, place = (">IQ", at + 20) if data[at : at + 1] == b"\1" else (">II", at + 12)
    if at < 4 or len(data) < place + struct.calcsize(form):  # noqa: PLR2004 - not found
        return None
    per_s, units = struct.unpack_from(form, data, place)
    return units / per_s if per_s else None


def muxed(samples: Any, rate: int, *, sound: bool) -> bytes:
    """Make an MP4 of samples and of a bar that moves with the time; without `sound`, of the bar alone."""
    import av
    import numpy as np

    file, (width, height) = io.BytesIO(), _SIZE
    planes = np.ascontiguousarray(np.atleast_2d(samples.T), dtype=np.float32)
    layout = "stereo" if len(planes) > 1 else "mono"
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=_FRAMES_PER_S, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout=layout) if sound else None
        count = round(len(samples) / rate * _FRAMES_PER_S)
        for number in range(count):
            picture = np.full((height, width, 3), _GROUND, np.uint8)
            picture[:, : width * (number + 1) // count] = _BAR
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = rate
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return file.getvalue()
