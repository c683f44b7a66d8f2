"""Text in a finished file: what it is, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from kling_batch.model import Take

FIELDS = {
    "title": b"TIT2",
    "comment": b"COMM",
    "album": b"TALB",
    "tracknumber": b"TRCK",
    "artist": b"TPE1",
    "software": b"TSSE",
}
"""The tags that every format gets, as libsndfile calls them, and their frames of ID3."""
MADE_BY = "software"
_ID3_UTF16 = b"\x01"
_NO_LANGUAGE = b"und"


def tags_of(take: Take, words: str, task_id: str | None) -> dict[str, str]:
    """Say what stands in the files of a take.

    Args:
        take: The take.
        words: What was wanted, such as a prompt.
        task_id: The service's name of the task that made it.
    """
    tags = {
        "title": str(take.key),
        "comment": words,
        "album": take.job.project,
        "tracknumber": str(take.number),
        "artist": f"task {task_id}" if task_id else "",
        MADE_BY: f"made by kling-batch {version('kling-batch')}",
    }
    return {name: text for name, text in tags.items() if text}


def id3(tags: Mapping[str, str]) -> bytes:
    """Write tags as ID3v2.3, in UTF-16: libsndfile writes UTF-8 and calls it Latin-1."""
    frames = b"".join(_frame(name, text) for name, text in tags.items())
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frames if frames else b""


def _frame(name: str, text: str) -> bytes:
    written = text.encode("utf-16")
    short_description = _NO_LANGUAGE + "".encode("utf-16") + b"\0\0"
    body = _ID3_UTF16 + (short_description if name == "comment" else b"") + written
    return FIELDS[name] + len(body).to_bytes(4) + b"\0\0" + body
