"""Files that a job hands to the service: they stand beside the manifest, and are known by their content."""

from __future__ import annotations

import io
import os
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from kling_batch.catalog import Input
from kling_batch.disk import hash_file, open_file, refuse_outside
from kling_batch.errors import UsageError
from kling_batch.model import InputFile

_HEAD = 8
_MOST_BOXES = 10_000
_SOUNDS = {"WAV", "WAVEX", "RF64", "MP3", "MPEG"}
"""How soundfile calls the sounds that the service takes."""


class Inputs:
    """Reads and checks files, each once.

    Args:
        folder: What their paths are relative to.
        stay_in: The folder that neither a path nor a link leads out of; None where it may.
    """

    def __init__(self, folder: Path, stay_in: Path | None) -> None:
        self._folder = folder
        self._stay_in = stay_in
        self._read: dict[tuple[str, Input], InputFile | str] = {}

    def read(self, name: str, wanted: Input) -> InputFile | str:
        """Give a file of a path, or say in words what is wrong with it."""
        if (name, wanted) not in self._read:
            self._read[name, wanted] = self._checked(name, wanted)
        return self._read[name, wanted]

    def _checked(self, name: str, wanted: Input) -> InputFile | str:
        if (elsewhere := _elsewhere(name, wanted)) is not None:
            return elsewhere
        path = self._folder / name
        try:
            if self._stay_in is not None:
                refuse_outside(path, self._stay_in, str(path))
            with open_file(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > wanted.most_bytes:
                    return f"{name} has {size:,} bytes, and the service takes {wanted.most_bytes:,} at most"
                seconds = _movie_s(file, size)
                if seconds is None and wanted.sound:
                    file.seek(0)
                    seconds = _sound_s(file.read())
            if seconds is None:
                return f"{name} is no {'MP3, WAV, ' if wanted.sound else ''}MP4 or MOV, or not a whole one"
            if not wanted.least_s <= seconds <= wanted.most_s:
                span = f"{wanted.least_s:g} to {wanted.most_s:g} s"
                return f"{name} lasts {seconds:.2f} s, and the service takes {span}"
            return InputFile(path=path, sha256=hash_file(path))
        except UsageError as error:
            return f"{error.message}. {error.hint}"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
        except ValueError as error:  # a NUL in the path
            return f"{name!r} is no path: {error}"


def _elsewhere(name: str, wanted: Input) -> str | None:
    """Say why a text is no path from the manifest; None where it is one."""
    if "://" in name:
        return f"it is an address; write it as `{wanted.sent_as}`"
    if name.startswith(("/", "~")) or PureWindowsPath(name).drive:
        return f"it is the path {name}; write it relative to this manifest, so that it works everywhere"
    return None


def _sound_s(data: bytes) -> float | None:
    """Say how long an MP3 or WAV is, in seconds; None where it is none."""
    import soundfile  # takes 0.15 s to load, with numpy

    try:
        found = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError:
        return None
    return found.frames / found.samplerate if found.format in _SOUNDS else None


def _movie_s(file: BinaryIO, size: int) -> float | None:
    """Read from an MP4's or MOV's movie header how long it is, in seconds; None where there is none."""
    at, end = 0, size
    for _ in range(_MOST_BOXES):
        if at + _HEAD > end:
            return None
        file.seek(at)
        length, kind, head = int.from_bytes(file.read(4), "big"), file.read(4), _HEAD
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 2 * _HEAD
        length = length or end - at
        if length < head or at + length > end:
            return None
        if kind == b"mvhd":
            return _header_s(file.read(min(length - head, 32)))
        at, end = (at + head, at + length) if kind == b"moov" else (at + length, end)
    return None


def _header_s(header: bytes) -> float | None:
    """Read a movie header's length: of two layouts, the second has numbers of 64 bits."""
    at, width = (20, 8) if header[:1] == b"\1" else (12, 4)
    per_s = int.from_bytes(header[at : at + 4], "big")
    units = int.from_bytes(header[at + 4 : at + 4 + width], "big")
    return units / per_s if per_s and len(header) >= at + 4 + width else None
