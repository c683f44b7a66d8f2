"""A file to a document: its encoding, its size, and the reader that its name asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from re import compile as regex

from kling_batch.disk import MOST_BYTES, open_file, refuse_outside
from kling_batch.errors import ManifestInvalid, Problem, UsageError
from kling_batch.manifest.csv_text import csv_page, read_csv
from kling_batch.manifest.json_text import read_json, read_jsonl
from kling_batch.manifest.nodes import Document, Node, Page, Table, Unreadable, places_in
from kling_batch.manifest.spreadsheet import NoSheet, read_spreadsheet
from kling_batch.manifest.yaml_text import read_yaml

FORMS = {
    ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv",
    ".xlsx": "workbook", ".ods": "workbook",
}  # fmt: skip
"""Which extension means which form."""
_READERS: dict[str, Callable[[str, Page], Node | Table]] = {
    "yaml": read_yaml, "json": read_json, "jsonl": read_jsonl, "csv": read_csv,
    "faults": partial(read_yaml, may_be_empty=True),
}  # fmt: skip

_BOM = b"\xef\xbb\xbf"
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r")
_CONTROL = regex(rb"[" + b"".join(b"\\x%02x" % code for code in _CONTROLS) + rb"]")
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_RESAVE = "save the file as UTF-8 (in a spreadsheet: `CSV UTF-8`; in an editor: encoding UTF-8)"


def form_of(path: Path) -> str:
    """Say in which form a file is written.

    Raises:
        UsageError: Its name does not tell.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"{path}: the extension `{path.suffix}` is not known",
            hint=f"The name of a manifest or a table ends in one of {', '.join(FORMS)}.",
        )
    return form


def read_document(
    path: Path, *, shown: str, stay_in: Path | None, sheet: str = "", form: str | None = None
) -> Document:
    """Read a file. Problems that do not stop the reading are noted on the document's page.

    Args:
        path: The file.
        shown: What to call it in messages.
        stay_in: The folder that neither its path nor a link leads out of; None where it may.
        sheet: Which sheet of a workbook; none is the first that is not hidden.
        form: In which form it is written; without one its name tells.

    Raises:
        NoSheet: It has no such sheet.
        UsageError: It is missing, leads out, cannot be opened, or has no known extension.
        ManifestInvalid: It cannot be read as what its extension says.
    """
    form = form or form_of(path)
    raw = _bytes(path, shown, stay_in)
    sha256 = hashlib.sha256(raw).hexdigest()
    if form == "workbook":
        return replace(read_spreadsheet(raw, shown, sheet), sha256=sha256)
    if sheet:
        raise NoSheet("only a workbook (.xlsx, .ods) has sheets")
    text = _text(raw, shown)
    page = csv_page(shown, text) if form == "csv" else Page(path=shown, place=places_in(text))
    try:
        content = _READERS[form](text, page)
    except Unreadable as error:
        page.tell(error.at, error.message)
        raise ManifestInvalid(page.problems) from error
    return Document(page=page, content=content, sha256=sha256)


def _bytes(path: Path, shown: str, stay_in: Path | None) -> bytes:
    try:
        if stay_in is not None:
            refuse_outside(path, stay_in, shown)
        with open_file(path) as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{shown}: there is no such file", hint="Check the path and its spelling.") from error
    except IsADirectoryError as error:
        raise UsageError(f"{shown}: this is a folder", hint="Name the manifest inside of it.") from error
    except OSError as error:
        raise UsageError(
            f"{shown}: cannot be read: {error.strerror or error}", hint="Check who may read the file."
        ) from error
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"{shown!r}: this is no path: {error}", hint="Give the manifest's path.") from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{shown}: larger than {MOST_BYTES >> 20} MiB", hint="Split it into several manifests.")
    return raw


def _text(raw: bytes, shown: str) -> str:
    raw = raw.removeprefix(_BOM)
    wide = _looks_wide(raw)
    if wide:
        raise _at_byte(b"", 0, shown, f"this looks like {wide}; {_RESAVE}")
    if len(raw.translate(None, _CONTROLS)) != len(raw) and (control := _CONTROL.search(raw)):
        code = raw[control.start()]
        name = "a NUL byte" if code == 0 else f"a control character (0x{code:02X})"
        raise _at_byte(raw, control.start(), shown, f"{name} has no place in a manifest; remove it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        guess = bytes([byte]).decode("cp1252", errors="ignore")
        meant = f" (`{guess}` in Windows-1252)" if guess else ""
        raise _at_byte(raw, error.start, shown, f"the byte 0x{byte:02X}{meant} is not UTF-8; {_RESAVE}") from error


def _looks_wide(raw: bytes) -> str | None:
    """Recognise UTF-16 and UTF-32 by their mark, or by every other byte of the start being zero."""
    if raw[:2] in _MARKS:
        return "UTF-32" if raw[2:4] == b"\0\0" else "UTF-16"
    start = raw[:64]
    for zeros, others in ((start[::2], start[1::2]), (start[1::2], start[::2])):
        if len(zeros) > 1 and not any(zeros) and all(others):
            return "UTF-16"
    return None


def _at_byte(raw: bytes, offset: int, shown: str, message: str) -> ManifestInvalid:
    before = raw[:offset].decode("utf-8", errors="replace")
    line, column = places_in(before)(len(before))
    return ManifestInvalid([Problem(path=shown, line=line, column=column, message=message)])
