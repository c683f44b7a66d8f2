"""Which paths a take's file may have: inside the output folder, and the same on every machine."""

from __future__ import annotations

import unicodedata
from re import IGNORECASE
from re import compile as regex

from kling_batch.catalog import formats
from kling_batch.catalog.finish import FINISHED
from kling_batch.model import ANY_FORMAT, Job

_RESERVED = r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])"
_RESERVED_NAME = regex(rf"{_RESERVED} *(?:\..*)?", IGNORECASE)
_ORDINARY = regex(rf"(?:(?!{_RESERVED}(?:/|\Z))[A-Za-z0-9_][A-Za-z0-9_-]{{0,99}}(?:/(?!\Z)|\Z)){{1,8}}", IGNORECASE)
_FORBIDDEN = regex(r'[\x00-\x1f\x7f<>:"|?*\\]')
_UNSEEN = regex(r"[\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Other control characters, line ends, and those that turn the direction of what is read."""
_OUR_FOLDER = regex(r"\.kling-batch", IGNORECASE)
_LIKE_A_FILE = regex(
    rf".*\.(?:{'|'.join({*formats(), *FINISHED})})|report\.(?:json|csv|html|md)|junit\.xml", IGNORECASE
)
_MOST_BYTES = 200
_MOST_BYTES_IN_ALL = 1000


def folded(stem: str) -> str:
    """Write a path as a machine sees it that takes large and small letters for the same."""
    return stem.lower() if stem.isascii() else unicodedata.normalize("NFC", stem.casefold())


def filled(stem: str, job: Job) -> tuple[str, ...]:
    """Give the stems of a job's files, of one that may differ by format: of its outputs, and of their sources."""
    if ANY_FORMAT not in stem:
        return (stem,)
    return tuple(stem.replace(ANY_FORMAT, name) for name in dict.fromkeys((*job.outputs, *job.formats)))


def path_problem(stem: str) -> str | None:
    """Say why a take's path, without its extension, cannot be used; None when it can."""
    if _ORDINARY.fullmatch(stem):
        return None
    if stem.startswith("/"):
        return "a path that starts with `/` leaves the output folder; write it relative to that folder"
    if stem == "~" or stem.startswith("~/"):
        return "`~` is not the home folder here; write the path relative to the output folder"
    if len(stem.encode()) > _MOST_BYTES_IN_ALL:
        return f"the path is longer than {_MOST_BYTES_IN_ALL} bytes"
    components = stem.split("/")
    for component in components:
        if problem := _component_problem(component):
            return problem
    for folder in components[:-1]:
        if _LIKE_A_FILE.fullmatch(folder):
            return f"a folder named `{folder}` could stand in the way of a file of that name; name it otherwise"
    return None


def _component_problem(name: str) -> str | None:
    if not name:
        return "a part of the path between two `/`, or at its end, is empty"
    if name in {".", ".."}:
        return f"`{name}` is not allowed in a path: files stay inside the output folder"
    if bad := _FORBIDDEN.search(name):
        return f"the character {bad.group()!a} is not allowed in a path: Windows has no such files"
    if unseen := _UNSEEN.search(name):
        return f"the character {unseen.group()!a} is not allowed in a path: it is not seen, and changes what is"
    if name.endswith((".", " ")) or name.startswith(" "):
        return f'"{name}" starts or ends with a space or ends with a dot, which Windows drops'
    if _RESERVED_NAME.fullmatch(name):
        return f"`{name}` is a reserved name on Windows; name it otherwise"
    if _OUR_FOLDER.match(name):
        return f"`{name}`: names that start with `.kling-batch` are for the program's own files"
    if len(name.encode()) > _MOST_BYTES:
        return f"a part of the path is longer than {_MOST_BYTES} bytes"
    return None
