"""The lock: what the team knows of every finished take, as a text file beside the manifest.

`kling-batch lock merge` merges two branches take by take, where git is told to ask it. The layout is made for git
alone, as on a server that asks no driver, which merges unless both changed lines that touch. Every take has a line of
its own that no other take's line depends on: the last element of the list is a constant, so no comma ever moves.
A constant line ends every job, so that a change in one does not touch the next. And like the tabs of a filing
cabinet, a constant line stands before the jobs of every letter, so that jobs added to one gap by two branches
mostly come to stand apart. Where they do not, keeping the lines of both sides is right; order is therefore written but
not asked for.

A take that is asked for no more, or in another way, keeps its line, marked as retired: its sound is paid for, and is
there again when it is asked for again. A lock without such lines is what it was before there were any; a program
older than them refuses one that has some, by the line.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

from kling_batch.disk import MOST_BYTES, disk_border, open_file, sync_folder
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import LockInvalid, UsageError
from kling_batch.model import FileRecord, Job, Remark, TakeKey, rejecting
from kling_batch.records.fields import (
    COUNT,
    FILE,
    ID,
    JOB_ID,
    VOICE,
    Check,
    are_remarks,
    file_problem,
    fits,
    is_plain,
    is_recipe,
    text,
)
from kling_batch.records.run_lock import alone_with
from kling_batch.resources import schema

LOCK_VERSION = 1
NEWER_HINT = "Install the kling-batch that wrote it (or a later one)."
"""What to do about a lock that another version wrote, wherever it is."""
LONGEST_NOTE = 500
"""Characters of what a person says of a sound."""

_COMMENT = (
    "Written by kling-batch; commit it beside the manifest. It pins the bytes of every take, "
    "not the power to make them again: the service has no seed. The lines between the takes say nothing: they keep "
    "different jobs apart, so that git can merge them."
)
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
_MARK = re.compile(r"[0-9a-z]|end(?: of .*)?")
"""Texts between the takes. Earlier programs wrote a letter alone, and read `end of` anything."""
_SIDES = ("<<<<<<< ours: keep one of the two sides\n", "=======\n", ">>>>>>> theirs\n")
_TABS = "0123456789abcdefghijklmnopqrstuvwxyz"
_HEAD = {"lock_version", "project", "comment", "takes"}

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON may write half of a character."""
_LONGEST = 300
"""Characters of what is said of one thing."""


def _is_true(value: Any) -> bool:
    return value is True


def _are_files(value: Any) -> bool:
    return type(value) is list and all(fits(file, FILE, FILE) for file in value)


_FIELDS: dict[str, Check] = {
    "job_id": JOB_ID,
    "take": COUNT,
    "edition": COUNT,
    "attempt": COUNT,
    "kind": ID,
    "external_id": ID,
    "task_id": ID,
    "units": text(r"[0-9]{1,12}(?:\.[0-9]{1,12})?"),
    "request": lambda value: type(value) is dict and is_plain(value),
    "files": _are_files,
}
_ALL_FIELDS = _FIELDS | {
    "picked": _is_true,
    "note": text(rf"[^\x00-\x1f\x7f]{{1,{LONGEST_NOTE}}}"),
    "rerolls": COUNT,
    "moved_from": JOB_ID,
    "retired": _is_true,
    "recipe": is_recipe,
    "finished": _are_files,
    "remarks": are_remarks,
    **VOICE,
}
"""What `schemas/lock.schema.json` says of a take: jsonschema needs half a minute for 100,000 of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockEntry:
    """One finished take. `request` is what was sent, less the ids; `units` is what was charged, failed attempts too.

    `picked` marks the take that a person chose of its job; `note` is what a person says of this sound. `rerolls` are
    the fresh sounds that were asked for of this take alone: they are added to the job's edition. `moved_from` is the
    job's name when the sound was made, if that was another: it is what the external id was made of. `rights_by` and
    `rights_at` say who agreed that a voice be cloned, and when; `voice_id` is that voice. `files` are as they were
    delivered, `finished` what was made of them by `recipe` (see `Job.recipe`), and `remarks` what its checks found.
    """

    job_id: str
    take: int
    edition: int
    attempt: int
    kind: str
    external_id: str
    task_id: str
    units: Decimal
    request: Mapping[str, Any]
    files: tuple[FileRecord, ...]
    picked: bool = False
    note: str = ""
    rerolls: int = 0
    moved_from: str | None = None
    rights_by: str | None = None
    rights_at: str | None = None
    voice_id: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    finished: tuple[FileRecord, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def key(self) -> TakeKey:
        """What people call the take."""
        return TakeKey(self.job_id, self.take)

    @property
    def all_files(self) -> tuple[FileRecord, ...]:
        """The files as they were delivered, and those that were made of them."""
        return (*self.files, *self.finished)

    def shipped(self, job: Job) -> dict[str, FileRecord]:
        """Give the files, by format, that stand under the take's own name, of those that its job asks for."""
        if rejecting(self.remarks):
            return {}
        delivered = job.as_delivered if job.finish else job.formats
        wanted = {file.format: file for file in self.files if file.format in delivered}
        finished = self.finished if self.recipe.get("finish", {}) == job.finish else ()
        return wanted | {file.format: file for file in finished}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """Every finished take of a project.

    `retired` are those that nobody asks for any more, by external id: a take may have been asked for in several ways.
    They count for nothing until they are asked for again.
    """

    project: str
    entries: Mapping[TakeKey, LockEntry] = field(default_factory=dict)
    retired: Mapping[str, LockEntry] = field(default_factory=dict)

    def everything(self) -> Iterator[LockEntry]:
        """Give every entry, also of what is retired."""
        yield from self.entries.values()
        yield from self.retired.values()


def read_lock(path: Path, *, project: str | None) -> Lock:
    """Read a lock; one that is not there is empty. None reads any project's, which has to be there.

    Raises:
        LockInvalid: It is torn, conflicted, edited into something else, newer, or another project's.
        UsageError: It is not there, and may be any project's.
        DiskUnusable: It cannot be read.
    """
    with disk_border(path):
        try:
            with open_file(path) as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            if project is not None:
                return Lock(project=project)
            raise UsageError(
                f"{path}: there is no such lock.",
                hint="The lock of a set stands beside its manifest, as MANIFEST.lock.",
            ) from None
    return _Reader(str(path), data).lock(project)


def parse_lock(place: str, data: bytes, *, project: str) -> Lock:
    """Read a lock that came from elsewhere.

    Raises:
        LockInvalid: As of `read_lock`.
    """
    return _Reader(place, data).lock(project)


def lock_text(lock: Lock, *, both: Mapping[TakeKey, LockEntry] | None = None) -> bytes:
    """Lay a lock out; `both` as of `write_lock`."""
    return "".join(_lines(lock, both or {})).encode()


def update_lock(path: Path, project: str, change: Callable[[Lock], Lock], *, probe: Probe = no_probe) -> Lock:
    """Change a lock as it is now, whoever wrote it last. Other updates of it wait meanwhile, in every process.

    Args:
        path: The lock; where it is not there, an empty one is changed.
        project: Whose lock it has to be.
        change: Gives the lock as it shall be. What it raises leaves the file as it is.
        probe: Is told of every effect.

    Returns:
        The lock as the file says it now.

    Raises:
        LockInvalid: What is there cannot be relied on.
        DiskUnusable: It cannot be read or written, or another program is not done with it.
    """
    with alone_with(path):
        lock = change(read_lock(path, project=project))
        write_lock(path, lock, probe=probe)
        return lock


def write_lock(
    path: Path, lock: Lock, *, both: Mapping[TakeKey, LockEntry] | None = None, probe: Probe = no_probe
) -> None:
    """Write a lock: all of it or nothing, and nothing if the file says the same already.

    What others wrote to it since it was read is lost: see `update_lock`.

    Args:
        path: The lock.
        lock: What it shall say.
        both: The other sounds of takes that two branches made anew: a person has to keep one side of each.
        probe: Is told of every effect.

    Raises:
        DiskUnusable: It cannot be written; what was there is untouched.
    """
    data = lock_text(lock, both=both)
    final = Path(os.path.realpath(path))  # a symbolic link stays one
    with disk_border(path):
        if final.is_file() and final.read_bytes() == data:
            return
        coming = _beside(final)
        try:
            probe("lock write")
            with coming.open("wb") as file:
                file.write(data)
                file.flush()
                probe("lock fsync")
                os.fsync(file.fileno())
            probe("lock rename")
            coming.replace(final)
        finally:
            coming.unlink(missing_ok=True)
        sync_folder(final.parent, probe)


def check_lock_place(path: Path) -> None:
    """Check that a lock can be written where it is to be, before anything is paid for.

    Raises:
        DiskUnusable: Its folder is missing or cannot be written to.
    """
    final = Path(os.path.realpath(path))
    with disk_border(path, option="--lock"):
        coming = _beside(final)
        coming.touch()
        coming.unlink()


def _beside(final: Path) -> Path:
    """Name a file that no other writer names, be it another process, machine or thread."""
    return final.with_name(f".{final.name}.{secrets.token_hex(8)}.tmp")


def _lines(lock: Lock, both: Mapping[TakeKey, LockEntry]) -> Iterator[str]:
    """Lay the lock out: a head, then the tabs, a line a take, a line at the end of every job, and a last line."""
    yield f'{{\n"lock_version": {LOCK_VERSION},\n"project": {json.dumps(lock.project, ensure_ascii=False)},\n'
    yield f'"comment": {json.dumps(_COMMENT)},\n"takes": [\n'
    shelves: dict[str, list[tuple[TakeKey, bool, str, LockEntry]]] = {tab: [] for tab in _TABS}
    retired = ((entry.key, False, name, entry) for name, entry in lock.retired.items())
    active = ((key, True, "", entry) for key, entry in lock.entries.items())
    for line in sorted((*retired, *active), key=itemgetter(0, 1, 2)):
        shelves[line[0].job_id[0].lower()].append(line)
    for tab, lines in shelves.items():
        yield f'"end of jobs before {tab}",\n'
        for job_id, takes in groupby(lines, key=lambda line: line[0].job_id):
            for key, is_active, _, entry in takes:
                if is_active and key in both:
                    yield _SIDES[0] + _line(entry) + _line(both[key], retired=True)
                    yield _SIDES[1] + _line(entry, retired=True) + _line(both[key]) + _SIDES[2]
                else:
                    yield _line(entry, retired=not is_active)
            yield f'"end of {job_id}",\n'
    yield '"end"\n]\n}\n'


def _line(entry: LockEntry, *, retired: bool = False) -> str:
    return json.dumps(_as_json(entry, retired=retired), ensure_ascii=False, allow_nan=False) + ",\n"


def _as_json(entry: LockEntry, *, retired: bool) -> dict[str, Any]:
    optional = {name: getattr(entry, name) for name in ("picked", "note", "rerolls", "moved_from", *VOICE)}
    return {
        **{name: getattr(entry, name) for name in _FIELDS},
        "units": f"{entry.units:f}",
        "request": dict(sorted(entry.request.items())),
        "files": [_file_as_json(file) for file in entry.files],
        **{name: value for name, value in (optional | {"retired": retired}).items() if value},
        **({"recipe": dict(entry.recipe)} if entry.recipe else {}),
        **({"finished": [_file_as_json(file) for file in entry.finished]} if entry.finished else {}),
        **({"remarks": [asdict(remark) for remark in entry.remarks]} if entry.remarks else {}),
    }


def _file_as_json(file: FileRecord) -> dict[str, Any]:
    return {**{name: getattr(file, name) for name in FILE if name != "duration"}, "duration": file.duration_s}


class _Reader:
    """One reading of a lock."""

    def __init__(self, path: str, data: bytes) -> None:
        self._path = path
        try:
            self._text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._text = ""
            self._refuse("it is not UTF-8 text", data.count(b"\n", 0, error.start) + 1)
        if len(data) > MOST_BYTES:
            self._refuse(f"it is larger than {MOST_BYTES >> 20} MiB", 1)

    def lock(self, project: str | None) -> Lock:
        """Read all of it. None takes any project's."""
        head = self._parse()
        self._check_head(head, project)
        entries: dict[TakeKey, LockEntry] = {}
        retired: dict[str, LockEntry] = {}
        halves = _SURROGATE.search(self._text) is not None
        for index, item in enumerate(head["takes"]):
            if type(item) is str and _MARK.fullmatch(item):
                continue
            if halves and not _is_text(item):
                self._refuse("half of a character, such as \\ud800, has no place in a lock", self._line_of(index))
            if not fits(item, _FIELDS, _ALL_FIELDS):
                self._refuse(self._schema_words(item), self._line_of(index))
            for problem in _file_problems(item):
                self._refuse(problem, self._line_of(index))
            is_retired = item.pop("retired", False)
            entry = _entry(item)
            if is_retired:
                before = retired.setdefault(entry.external_id, entry)
            else:
                before = entries.setdefault(entry.key, entry)
            if before is not entry and before != entry:
                self._refuse(
                    f"take {entry.key} stands here a second time, and differently",
                    self._line_of(index),
                    hint="Keep one of the two lines: the one whose files are there. Both sounds are paid for.",
                )
        for entry in entries.values() if retired else ():
            retired.pop(entry.external_id, None)  # a merge may keep the line of the branch that did not retire it
        return Lock(project=head["project"], entries=entries, retired=retired)

    def _parse(self) -> Any:
        """Read the JSON."""
        conflict = _CONFLICT.search(self._text) if "<<<<<<<" in self._text else None
        if conflict:
            one_side = self._text.startswith(_SIDES[0], conflict.start())
            self._refuse(
                "a merge left a conflict here",
                self._line_at(conflict.start()),
                hint="Both branches made this take anew: delete one side, and the <<<<<<<, ======= and >>>>>>> lines. "
                "Each side keeps the other's sound as retired: both are paid for."
                if one_side
                else "Keep the lines of both sides: delete only the <<<<<<<, ======= and >>>>>>> lines. Every take "
                "has a line of its own. (`kling-batch lock merge` as git's merge driver does so: docs/commands.md.)",
            )
        try:
            return json.loads(self._text, parse_constant=_no_constant, parse_float=self._finite)
        except json.JSONDecodeError as error:
            torn = error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated")
            self._refuse("the file ends in the middle" if torn else f"this is no JSON: {error.msg}", error.lineno)
        except (ValueError, RecursionError) as error:
            self._refuse(f"this is no JSON of a lock: {error}", 1)

    def _finite(self, number: str) -> float:
        if math.isinf(value := float(number)):
            self._refuse(f"{number[:20]} is no number that a lock can have", self._line_at(self._text.index(number)))
        return value

    def _check_head(self, head: Any, project: str | None) -> None:
        """Check what stands above the takes."""
        version = head.get("lock_version") if isinstance(head, dict) else None
        if type(version) is int and version > LOCK_VERSION:
            self._refuse(
                f"lock version {version} is newer than this program, which reads version {LOCK_VERSION}",
                self._line_of_field("lock_version"),
                hint=NEWER_HINT,
            )
        good = type(version) is int and version == LOCK_VERSION and head.keys() <= _HEAD
        if not good or not JOB_ID(head.get("project")):
            self._refuse(self._schema_words(head, whole=True), 1)
        if type(head.get("takes")) is not list or self._text.count('\n"takes":') > 1:
            self._refuse("it needs exactly one list `takes`", self._line_of_field("takes"))
        if project is not None and head.get("project") != project:
            self._refuse(
                f"this is the lock of project {head.get('project')!r}, and the manifest is of {project!r}",
                self._line_of_field("project"),
                hint=f"Give the manifest its old project name again, or name another lock with --lock. "
                f"A new name is a new set of sounds, which are paid for anew: then move {self._path} away.",
            )

    def _schema_words(self, value: Any, *, whole: bool = False) -> str:
        """Ask the schema what is wrong, in words."""
        import jsonschema  # takes 0.2 s to load, and a good lock never needs it

        rules = schema("lock")
        part = rules if whole else rules["definitions"]["take"] | {"definitions": rules["definitions"]}
        with suppress(RecursionError):
            for error in jsonschema.Draft7Validator(part).iter_errors(value):
                where = ".".join(str(step) for step in error.absolute_path)
                words = error.message if len(error.message) < _LONGEST else f"{error.message[:_LONGEST]}..."
                return f"`{where}`: {words}" if where else words
        return "this is not as kling-batch writes it"

    def _line_of(self, index: int) -> int:
        """Find an element of `takes`, in whatever way the file is laid out."""
        decoder, position = json.JSONDecoder(), self._text.index("[", self._text.index('"takes"')) + 1
        for _ in range(index):
            _, position = decoder.raw_decode(self._text, _next_value(self._text, position))
        return self._line_at(_next_value(self._text, position))

    def _line_of_field(self, name: str) -> int:
        return self._line_at(max(0, self._text.find(f'"{name}"')))

    def _line_at(self, position: int) -> int:
        return self._text.count("\n", 0, position) + 1

    def _refuse(self, message: str, line: int, *, hint: str | None = None) -> NoReturn:
        usual = (
            f"Undo the change, or take the last good state from version control: git checkout -- {self._path}. "
            "Sounds that this state does not know are found again on the service, and not paid for twice."
        )
        raise LockInvalid(message, path=self._path, line=line, hint=hint or usual)


def _file_problems(item: Mapping[str, Any]) -> Iterator[str]:
    """Say which files of a take cannot be."""
    for name in ("files", "finished"):
        for file in item.get(name, ()):
            problem = file_problem(file["path"], file["format"], finished=name == "finished")
            if problem is not None:
                yield f"`{name}`: {problem}"


def _entry(item: Mapping[str, Any]) -> LockEntry:
    lists = {"files": _file, "finished": _file, "remarks": lambda remark: Remark(**remark)}
    made = {name: tuple(map(make, item[name])) for name, make in lists.items() if name in item}
    return LockEntry(**{**item, **made, "units": Decimal(item["units"])})


def _file(item: Mapping[str, Any]) -> FileRecord:
    facts = dict(item)
    return FileRecord(duration_s=float(facts.pop("duration")), **facts)


def _is_text(value: Any) -> bool:
    """Whether all texts in a value can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _next_value(text: str, position: int) -> int:
    """Skip to where the next element of a list begins."""
    while text[position] in ", \t\r\n":
        position += 1
    return position


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
