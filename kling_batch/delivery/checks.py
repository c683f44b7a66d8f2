"""What is to be said against a sound as it was delivered: silent, clipped, quiet, the same as another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kling_batch.delivery.finish.steps import decibels, heard
from kling_batch.delivery.shape import shape_of
from kling_batch.model import Remark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FULL_SCALE = 0.9999
"""From here on a sample is as large as 16 bits can hold."""
_RUN = 3
"""So many samples in a row at full scale are no accident."""
_HEARD_DB = -50.0
"""A sound begins where it is louder than so many dBFS."""
_NOTHING_DB = -200.0

_LIKENESS_RATE = 8000
_LIKENESS_S = 30.0
_FINER = 4
"""A shift between two sounds is found to a part of a sample."""


def remarks(samples: NDArray[np.float32], rate: int, checks: Mapping[str, Any]) -> tuple[Remark, ...]:
    """Look at a sound with all checks but `alike`, which takes two.

    Args:
        samples: The sound as it was delivered: a row a sample, a column a channel, 1.0 being full scale.
        rate: Samples a second.
        checks: As a job has them: by name, `below` or `over` a figure, and `then` what comes of it.
    """
    found = [(name, _CHECKS[name](samples, rate, check)) for name, check in checks.items() if name in _CHECKS]
    return tuple(
        Remark(check=name, then=checks[name]["then"], words=f"{name}: {words}") for name, words in found if words
    )


def _silent(samples: NDArray[np.float32], _rate: int, check: Mapping[str, Any]) -> str | None:
    peak = decibels(max(float(samples.max()), -float(samples.min()), 10 ** (_NOTHING_DB / 20)))
    if peak >= check["below"]:
        return None
    words = "it has no sample but zeros" if peak == _NOTHING_DB else f"its peak is {peak:.1f} dBFS"
    return f"{words}, and below {check['below']:g} dBFS counts as silent"


def _clipped(samples: NDArray[np.float32], _rate: int, check: Mapping[str, Any]) -> str | None:
    import numpy as np

    full = np.abs(samples) >= _FULL_SCALE
    runs = full[2:] & full[1:-1] & full[:-2]
    count = int((runs & ~np.vstack([np.zeros_like(runs[:1]), runs[:-1]])).sum())
    if count <= check["over"]:
        return None
    words = f"{_RUN} or more samples in a row are at full scale in {count} place{'s' if count > 1 else ''}"
    return f"{words}, and more than {check['over']:g} counts as clipped"


def _quiet(samples: NDArray[np.float32], rate: int, check: Mapping[str, Any]) -> str | None:
    loudness = shape_of(samples, rate).loudness
    if loudness is not None and loudness >= check["below"]:
        return None
    words = "under -70 LUFS, too little to be measured" if loudness is None else f"{loudness:.1f} LUFS"
    return f"its loudness is {words}, and below {check['below']:g} LUFS counts as quiet"


def _leading_silence(samples: NDArray[np.float32], rate: int, check: Mapping[str, Any]) -> str | None:
    part = heard(samples, _HEARD_DB)
    begins = (part.start if part.stop else len(samples)) / rate
    if begins <= check["over"]:
        return None
    return (
        f"it is below {_HEARD_DB:g} dBFS for its first {begins:.2f} s, and over {check['over']:g} s counts as silence"
    )


def _dc_offset(samples: NDArray[np.float32], _rate: int, check: Mapping[str, Any]) -> str | None:
    import numpy as np

    offset = float(np.abs(samples.mean(axis=0, dtype=np.float64)).max())
    if offset <= check["over"]:
        return None
    return f"its mean is {offset:.3f} of full scale off zero, and over {check['over']:g} counts as an offset"


_CHECKS: dict[str, Callable[[NDArray[np.float32], int, Mapping[str, Any]], str | None]] = {
    "silent": _silent,
    "clipped": _clipped,
    "quiet": _quiet,
    "leading_silence": _leading_silence,
    "dc_offset": _dc_offset,
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of a sound: its first 30 seconds in one channel at 8 kHz, as float32, with an energy of one."""

    samples: bytes


def fingerprint(samples: NDArray[np.float32], rate: int) -> Fingerprint:
    """Take what is compared of a sound. Takes some 10 ms for five seconds of stereo."""
    import numpy as np

    line = samples[: round(_LIKENESS_S * rate)].mean(axis=1)
    line -= line.mean()
    line = np.pad(line, (0, -len(line) % (rate // math.gcd(rate, _LIKENESS_RATE))))  # to a whole number of samples
    length = len(line) * _LIKENESS_RATE // rate
    low = np.fft.irfft(np.fft.rfft(line)[: length // 2 + 1], length)
    energy = float(np.sqrt(np.square(low).sum()))
    return Fingerprint((low / (energy or 1.0)).astype(np.float32).tobytes())


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Say how far two sounds are the same up to gain and shift: 1 where they are; 0 for noises, and for silence."""
    import numpy as np

    first, second = (np.frombuffer(each.samples, np.float32) for each in (one, other))
    size = 1 << (len(first) + len(second)).bit_length()
    product = np.fft.rfft(first, size) * np.fft.rfft(second, size).conj()
    by_shift = np.abs(np.fft.irfft(product, _FINER * size)) * _FINER
    top = int(by_shift.argmax())
    before, most, after = (float(by_shift[each % len(by_shift)]) for each in (top - 1, top, top + 1))
    bend = 2 * most - before - after  # the top of the parabola through the three
    return min(1.0, most + (after - before) ** 2 / (8 * bend) if bend else most)


def alike(one: Fingerprint, other: Fingerprint, check: Mapping[str, Any], *, name: str) -> Remark | None:
    """Look at a sound beside another, which is called `name`, such as a take of the same job."""
    found = likeness(one, other)
    if found <= check["over"]:
        return None
    words = f"it is to {found:.1%} the same sound as {name}, and over {check['over']:.0%} counts as alike"
    return Remark(check="alike", then=check["then"], words=f"alike: {words}")
