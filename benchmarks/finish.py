"""Finishing sounds: what it takes beside `ffmpeg -af loudnorm` in two passes, and how loud ffmpeg finds the results."""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from kling_batch.delivery.finish import finish_sound
from kling_batch.delivery.shape import shape_of
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.sound import synthesise

LUFS, DBTP = -18.0, -1.0
_RATE = 44_100
_ROUNDS = 5
_PROMPTS = (
    "heavy rain on a tin roof", "church bell far away", "door creak", "laser beep", "ocean waves and wind",
    "fire crackling", "footsteps on gravel", "engine hum", "bird chirps", "glass breaking",
)  # fmt: skip
_FORMATS = ("ogg", "flac")
_RECIPE = {"loudness": LUFS, "true_peak": DBTP, "bits": 16, "sample_rate": 48_000, "formats": _FORMATS}
_LOUDNORM = f"loudnorm=I={LUFS:g}:TP={DBTP:g}:LRA=11"


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A finished file, as ffmpeg's `ebur128` hears it, and whether its notes say that its true peak holds it down."""

    number: int
    format: str
    loudness: float
    true_peak: float
    held: bool

    @property
    def right(self) -> bool:
        """Whether it is as loud as it shall be, and no louder than it may."""
        return self.true_peak <= DBTP + 0.1 and (self.held or abs(self.loudness - LUFS) <= 0.5)


def finishing(*, quick: bool) -> list[dict[str, Any]]:
    """Measure both."""
    with tempfile.TemporaryDirectory() as name:
        rows = [*_speed(Path(name)), _levels(Path(name), 24 if quick else 200)]
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column) for column in columns} for row in rows]


def drawn(number: int) -> Any:
    """Draw a sound of 3 to 10 s in one or two channels: noise, tones, pauses, rumbles or hits, at -60 to 0 LUFS."""
    chance = np.random.default_rng(number)
    frames = int(_RATE * chance.uniform(3, 10))
    channels = int(chance.integers(1, 3))
    at = np.arange(frames)[:, None] / _RATE
    noise = chance.standard_normal((frames, channels))
    match number % 6:
        case 0:
            sound = noise
        case 1:
            sound = noise * np.exp(-at * chance.uniform(0.2, 6))
        case 2:
            pitches, phases = chance.uniform(60, 4000, (5, channels)), chance.uniform(0, 6, (5, channels))
            sound = np.sin(2 * np.pi * at[:, None] * pitches + phases).sum(axis=1)
        case 3:
            sound = noise * (0.001 + (chance.random(100) > 0.5)[(at * 8).astype(int)])
        case 4:
            spectrum = np.fft.rfft(np.cumsum(noise, axis=0), axis=0)
            spectrum[: 20 * frames // _RATE] = 0
            sound = np.fft.irfft(spectrum, frames, axis=0)
        case _:
            since = np.minimum.reduce([np.where(at < hit, 99, at - hit) for hit in chance.uniform(0, 3, 6)])
            sound = noise * np.exp(-since * chance.uniform(10, 150))
    sound = sound / np.abs(sound).max()
    loudness = shape_of(sound.astype(np.float32), _RATE).loudness or 0.0
    return np.clip(sound * 10 ** ((chance.uniform(-60, 0) - loudness) / 20), -1, 1)


def measured(path: Path, *filters: str) -> tuple[float, float]:
    """Ask ffmpeg for a file's integrated loudness in LUFS, and for its true peak in dBTP."""
    chain = ",".join([*filters, "ebur128=peak=true"])
    said = _ffmpeg("-nostats", "-i", path, "-af", chain, "-f", "null", "-")
    loudness, peak = (re.findall(rf"{word}:\s+(-?[\d.]+|-inf|nan) ", said)[-1] for word in ("I", "Peak"))
    return float(loudness), float(peak)


def heard(number: int, folder: Path, formats: tuple[str, ...] = ("wav", "ogg", "opus", "mp3")) -> Iterator[Heard]:
    """Finish a sound that is drawn, and let ffmpeg hear what came out."""
    source = folder / f"{number}.wav"
    soundfile.write(source, drawn(number), _RATE, "PCM_24")
    recipe = {"loudness": LUFS, "true_peak": DBTP, "bits": 24, "formats": formats}
    rate = {"sample_rate": 48_000} if number % 2 else {}
    made = finish_sound(source, {**recipe, **rate}, folder=folder, name=f"{number}-finished", tags={})
    for file in made.files:
        loudness, true_peak = measured(file.path)
        held = any(note.startswith(("loudness:", f"{file.record.format}:")) for note in made.notes)
        yield Heard(number=number, format=file.record.format, loudness=loudness, true_peak=true_peak, held=held)
        file.path.unlink()
    source.unlink()


def _levels(folder: Path, sounds: int) -> dict[str, Any]:
    with ThreadPoolExecutor(2) as pool:
        found = [one for each in pool.map(lambda number: list(heard(number, folder)), range(sounds)) for one in each]
    free = [abs(one.loudness - LUFS) for one in found if not one.held]
    return {
        "case": f"{sounds} sounds from -60 to 0 LUFS, finished to {LUFS:g}, as ffmpeg hears them",
        "files": len(found),
        "wrong": sum(not one.right for one in found),
        "held_by_their_peak": len(found) - len(free),
        "most_lu_off": round(max(free), 2),
        "highest_dbtp": max(one.true_peak for one in found),
    }


def _speed(folder: Path) -> Iterator[dict[str, Any]]:
    """Finish a sandbox's sounds in several ways: seconds of CPU a sound on one core, and sounds a second on two."""
    sources = [folder / f"{prompt}.wav" for prompt in _PROMPTS]
    for source in sources:
        spec = ClipSpec(prompt=source.stem, duration_s=10.0, audio_format="wav", seed="", sample_rate=_RATE)
        source.write_bytes(synthesise(spec))
    ways = {
        "kling-batch": _finish,
        "ffmpeg loudnorm, two passes": _loudnorm,
        "ffmpeg loudnorm, measured once, both files by one command": _loudnorm_once,
    }
    took = {words: _cpu_s(work, sources) for words, work in ways.items()}
    for words, seconds in took.items():
        over = seconds / took["ffmpeg loudnorm, two passes"]
        yield {"case": words, "cpu_s_a_sound": round(seconds, 3), "over_loudnorm": round(over, 3)}
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        pools: dict[str, Executor] = {"a thread": one, "2 threads": threads, "2 processes": processes}
        rounds = [[_sounds_a_second(pool, sources) for pool in pools.values()] for _ in range(_ROUNDS)]
    for words, rates in zip(pools, zip(*rounds, strict=True), strict=True):
        yield {"case": f"kling-batch, on {words}", "sounds_a_second": round(statistics.median(rates), 2)}


def _cpu_s(work: Callable[[Path], None], sources: list[Path]) -> float:
    """Measure the CPU that a sound takes, of child processes as well."""
    work(sources[0])
    began = _cpu()
    for source in sources:
        work(source)
    return (_cpu() - began) / len(sources)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _sounds_a_second(pool: Executor, sources: list[Path]) -> float:
    began = time.perf_counter()
    list(pool.map(_finish, sources))
    return len(sources) / (time.perf_counter() - began)


def _finish(source: Path) -> None:
    finish_sound(source, _RECIPE, folder=source.parent, name=f"{source.stem}-ours", tags={"title": source.stem})


def _loudnorm(source: Path) -> None:
    """Level a sound as people write it: for each file that is wanted, measure, then apply."""
    for output in _outputs(source):
        _ffmpeg("-y", "-i", source, "-af", _measure(source), "-ar", "48000", *output)


def _loudnorm_once(source: Path) -> None:
    """Level a sound as frugally as ffmpeg can: measure once, apply once, write all files."""
    ogg, flac = _outputs(source)
    chain = f"[0:a]{_measure(source)},asplit[a][b]"
    _ffmpeg(
        *("-y", "-i", source, "-filter_complex", chain),
        *("-map", "[a]", "-ar", "48000", *ogg, "-map", "[b]", "-ar", "48000", *flac),
    )


def _outputs(source: Path) -> tuple[tuple[str | Path, ...], ...]:
    ogg, flac = (source.with_name(f"{source.stem}-theirs.{name}") for name in _FORMATS)
    return ("-c:a", "libvorbis", "-q:a", "6", ogg), ("-sample_fmt", "s16", flac)


def _measure(source: Path) -> str:
    said = _ffmpeg("-i", source, "-af", f"{_LOUDNORM}:print_format=json", "-f", "null", "-")
    found: Mapping[str, str] = json.loads(said[said.rindex("{") : said.rindex("}") + 1])
    told = ":".join(f"measured_{key}={found[f'input_{key.lower()}']}" for key in ("I", "TP", "LRA", "thresh"))
    return f"{_LOUDNORM}:{told}:offset={found['target_offset']}:linear=true"


def _ffmpeg(*options: str | Path) -> str:
    command = ["ffmpeg", "-hide_banner", *map(str, options)]
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
