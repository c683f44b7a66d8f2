"""The lock says again what was written, merges in git, and refuses what is not its own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_batch.errors import DiskUnusable, LockInvalid
from kling_batch.model import FileRecord, Remark, TakeKey
from kling_batch.records.fields import fits
from kling_batch.records.lock import _ALL_FIELDS, _FIELDS, Lock, LockEntry, _as_json, read_lock, write_lock
from kling_batch.resources import schema

names = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.:~-]{0,20}", fullmatch=True)
numbers = st.integers(min_value=1, max_value=1000)
job_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)
values = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
files = st.builds(
    FileRecord,
    path=st.from_regex(r"x[a-z]{1,8}(/x[a-z.]{1,3}[a-zÀ-ÿ]{1,8}){0,2}\.wav", fullmatch=True),
    format=st.just("wav"),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    bytes=st.integers(min_value=0, max_value=2**40),
    duration_s=st.floats(min_value=0, max_value=3600),
)
entries = st.builds(
    LockEntry,
    job_id=job_ids,
    take=numbers,
    edition=numbers,
    attempt=numbers,
    kind=names,
    external_id=names,
    task_id=names,
    units=st.decimals(min_value=0, max_value=10**6, places=4),
    request=st.dictionaries(st.text(min_size=1, max_size=20), values, max_size=4),
    files=st.lists(files, max_size=3).map(tuple),
    picked=st.booleans(),
    rerolls=st.integers(min_value=0, max_value=9),
    moved_from=st.none() | job_ids,
    recipe=st.dictionaries(
        st.sampled_from(["finish", "check"]), st.dictionaries(st.text(max_size=9), values, max_size=3), max_size=2
    ),
    finished=st.lists(files, max_size=2).map(tuple),
    remarks=st.lists(
        st.builds(
            Remark, check=st.just("silent"), then=st.sampled_from(["warn", "fail"]), words=st.just("-71.3 dBFS at most")
        ),
        max_size=2,
    ).map(tuple),
)


def lock_of(*found: LockEntry, retired: Iterable[LockEntry] = ()) -> Lock:
    active = {entry.key: entry for entry in found}
    names = {entry.external_id for entry in active.values()}
    gone = {entry.external_id: entry for entry in retired if entry.external_id not in names}
    return Lock(project="tavern", entries=active, retired=gone)


def entry(job_id: str = "door", take: int = 1, **facts: Any) -> LockEntry:
    record = FileRecord(path=f"{job_id}-{take:02}.wav", format="wav", sha256="ab" * 32, bytes=1234, duration_s=5.041)
    plain = LockEntry(
        job_id=job_id,
        take=take,
        edition=1,
        attempt=1,
        kind="text-to-audio",
        external_id=f"kb-{job_id}-{take}",
        task_id="901234567890123456",
        units=Decimal("0.25"),
        request={"prompt": "Old oak door, créaking", "duration": 5.0},
        files=(record,),
    )
    return replace(plain, **facts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tavern.yaml.lock"


@pytest.fixture
def refusal(path: Path) -> Callable[[str], LockInvalid]:
    """Read a text as a lock, and give the refusal."""

    def read(text: str) -> LockInvalid:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LockInvalid) as caught:
            read_lock(path, project="tavern")
        assert caught.value.message.startswith(f"{path}:{caught.value.line}: ")
        assert caught.value.hint
        return caught.value

    return read


@pytest.fixture
def text(path: Path) -> str:
    """The text of a lock of two jobs; its takes stand in lines 6, 7 and 9: the tabs are left out for that."""
    write_lock(path, lock_of(entry(take=1), entry(take=2), entry("rain")))
    return re.sub(r'^"end of jobs before [0-9a-z]",\n', "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


@settings(max_examples=25)
@given(found=st.lists(entries, max_size=5), retired=st.lists(entries, max_size=3))
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, found: list[LockEntry], retired: list[LockEntry]
) -> None:
    """Any lock survives the disk, and is by the schema what the schema says."""
    path = tmp_path_factory.mktemp("lock") / "x.lock"
    lock = lock_of(*found, retired=retired)
    write_lock(path, lock)
    assert read_lock(path, project="tavern") == lock
    jsonschema.Draft7Validator(schema("lock")).validate(json.loads(path.read_text(encoding="utf-8")))


@settings(max_examples=25)
@given(found=st.lists(entries, max_size=5), draw=st.randoms())
def test_the_order_of_the_takes_is_no_part_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, found: list[LockEntry], draw: Any
) -> None:
    """The same takes are the same bytes, so that a lock only changes when a take does."""
    folder = tmp_path_factory.mktemp("lock")
    lock = lock_of(*found)
    shuffled = list(lock.entries.values())
    draw.shuffle(shuffled)
    write_lock(folder / "one", lock)
    write_lock(folder / "two", lock_of(*shuffled))
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_a_lock_that_is_not_there_is_empty(path: Path) -> None:
    """The first run has none."""
    assert read_lock(path, project="tavern") == Lock(project="tavern", entries={})


def test_every_take_has_a_line_of_its_own(path: Path) -> None:
    """Sorted by job and number, with lines between that never change."""
    write_lock(path, lock_of(entry("rain"), entry("Door"), entry("door", 10), entry("door", 2)))
    lines = path.read_text(encoding="utf-8").splitlines()[5:]
    found = [re.sub(r'.*"external_id": "([^"]*)".*', r"\1", line) for line in lines]
    marks = [f'"end of jobs before {tab}",' for tab in "0123456789abcdefghijklmnopqrstuvwxyz"] + ['"end"', "]", "}"]
    assert [line for line in found if line not in marks] == [
        "kb-Door-1",
        '"end of Door",',
        "kb-door-2",
        "kb-door-10",
        '"end of door",',
        "kb-rain-1",
        '"end of rain",',
    ]
    assert [line for line in found if line in marks] == marks


def test_what_is_retired_stands_before_its_take(path: Path) -> None:
    """A line of its own each, marked, so that a reader who knows no such mark ends with the take as it is."""
    retired = [entry(external_id=name) for name in ("kb-old", "kb-older")]
    write_lock(path, lock_of(entry(), retired=retired))
    takes = [take for take in json.loads(path.read_text())["takes"] if isinstance(take, dict)]
    found = [(take["external_id"], take.get("retired")) for take in takes]
    assert found == [("kb-old", True), ("kb-older", True), ("kb-door-1", None)]


def test_what_one_branch_retired_and_the_other_did_not_is_not_retired(path: Path) -> None:
    """A union merge may keep both lines of one sound."""
    write_lock(path, lock_of(retired=[entry()]))
    line = next(line for line in path.read_text().splitlines() if "job_id" in line)
    other = line.replace(', "retired": true', "")
    path.write_text(path.read_text().replace(line, f"{line}\n{other}"))
    assert read_lock(path, project="tavern") == lock_of(entry())


def test_a_lock_of_which_nothing_is_retired_is_as_before(path: Path) -> None:
    """Programs that know no retired takes read it, and it differs in no byte from what they wrote."""
    write_lock(path, lock_of(entry()))
    assert "retired" not in path.read_text()


def test_a_take_that_nobody_finished_has_a_line_as_before(path: Path) -> None:
    """What is not there is not written: programs that know no finishing read it."""
    write_lock(path, lock_of(entry()))
    assert not any(f'"{name}":' in path.read_text() for name in ("recipe", "finished", "remarks"))


def test_the_lock_says_what_it_does_not_do(text: str) -> None:
    """It pins bytes, not the power to make them again; prompts stay readable."""
    assert "not the power to make them again: the service has no seed" in text
    assert "créaking" in text


def test_an_unchanged_lock_is_not_written(path: Path) -> None:
    """A run that changes nothing leaves the file's time alone."""
    write_lock(path, lock_of(entry()))
    os.utime(path, (1, 1))
    write_lock(path, lock_of(entry()))
    assert path.stat().st_mtime == 1


def test_a_lock_behind_a_link_stays_there(path: Path, tmp_path: Path) -> None:
    """The link is not replaced by a file."""
    (tmp_path / "real.lock").write_text("")
    path.symlink_to(tmp_path / "real.lock")
    write_lock(path, lock_of(entry()))
    assert path.is_symlink()
    assert read_lock(tmp_path / "real.lock", project="tavern") == lock_of(entry())


def test_a_crash_at_any_effect_leaves_a_whole_lock(path: Path, crash_at: Any, crash: Any) -> None:
    """The old one or the new one, and nothing beside it."""
    old, new = lock_of(entry()), lock_of(entry(), entry("rain"))
    write_lock(path, new, probe=(every := crash_at()))
    assert every.effects == ["lock write", "lock fsync", "lock rename", "fsync folder"]
    for at, expected in enumerate([old, old, old, new]):
        write_lock(path, old)
        with pytest.raises(crash):
            write_lock(path, new, probe=crash_at(at))
        assert read_lock(path, project="tavern") == expected
        assert list(path.parent.iterdir()) == [path]


def test_another_layout_is_read(path: Path, text: str) -> None:
    """A formatter or Windows may lay the file out anew; the next write sets it right."""
    for other in (json.dumps(json.loads(text), indent=2), text.replace("\n", "\r\n"), "\ufeff" + text):
        path.write_bytes(other.encode())
        assert len(read_lock(path, project="tavern").entries) == 3


def test_takes_in_any_order_are_read(path: Path, text: str) -> None:
    """A merge that keeps both sides' lines may leave them unsorted, or the same one twice."""
    lines = text.splitlines()
    path.write_text("\n".join([*lines[:5], lines[8], lines[6], lines[5], lines[6], *lines[7:]]))
    assert read_lock(path, project="tavern").entries.keys() == {
        TakeKey("door", 1),
        TakeKey("door", 2),
        TakeKey("rain", 1),
    }


def test_a_torn_lock_is_refused_at_any_byte(text: str, refusal: Any) -> None:
    """Every cut is found, and at its line."""
    for cut in (*range(0, len(text) - 3, 37), len(text) - 3):
        error = refusal(text[:cut])
        assert abs(error.line - (text[:cut].count("\n") + 1)) <= 1
        assert "git checkout" in error.hint


def test_a_conflict_is_refused_by_its_line(text: str, refusal: Any) -> None:
    """The repair is to keep both sides, which this layout allows."""
    lines = text.splitlines()
    both = [
        *lines[:6],
        "<<<<<<< HEAD",
        lines[6],
        "=======",
        lines[6].replace("0.25", "0.5"),
        ">>>>>>> other",
        *lines[7:],
    ]
    error = refusal("\n".join(both))
    assert error.line == 7
    assert "conflict" in error.message
    assert "delete only the <<<<<<<, ======= and >>>>>>> lines" in error.hint


def test_a_prompt_that_looks_like_a_conflict_is_none(path: Path) -> None:
    """Only a whole line is a mark."""
    lock = lock_of(entry(request={"prompt": "<<<<<<< HEAD\n=======", "duration": 5.0}))
    write_lock(path, lock)
    assert read_lock(path, project="tavern") == lock


def test_a_take_that_both_branches_made_is_refused(text: str, refusal: Any) -> None:
    """Two sounds of one take are both paid for; a person chooses."""
    lines = text.splitlines()
    error = refusal("\n".join([*lines[:7], lines[5].replace("9012", "9013"), *lines[7:]]))
    assert error.line == 8
    assert "door:1 stands here a second time" in error.message


def test_a_newer_lock_is_refused(text: str, refusal: Any) -> None:
    """What a later program wrote is not guessed at."""
    error = refusal(text.replace('"lock_version": 1', '"lock_version": 2'))
    assert error.line == 2
    assert "newer" in error.message
    assert "Install" in error.hint


def test_another_projects_lock_is_refused(text: str, refusal: Any) -> None:
    """The project is part of every identity: under another name everything would be paid for anew."""
    error = refusal(text.replace('"tavern"', '"cellar"'))
    assert error.line == 3
    assert "'cellar'" in error.message
    assert "'tavern'" in error.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"take": 2', '"take": "2"', "`take`: '2' is not of type 'integer'"),
        ('"take": 2', '"take": 0', "`take`: 0 is less than the minimum"),
        ('"take": 2', '"take": 2.0', "this is not as kling-batch writes it"),
        ('"take": 2', '"take": true', "True is not of type 'integer'"),
        ('"take": 2', '"takes": 2', "'take' is a required property|'takes' was unexpected"),
        ('"0.25"', "0.25", "`units`"),
        ('"0.25"', '"NaN"', "`units`"),
        ('"0.25"', '"0.25\\n"', "this is not|`units`"),
        ('"901234567890123456"', "901234567890123456", "`task_id`"),
        ('"wav"', '"flac"', "`files`: `flac` is not one of"),
        ('"take": 2', '"take": 2, "recipe": {"mix": {}}', "`recipe`: Additional properties"),
        ('"take": 2', '"take": 2, "remarks": [{"check": "silent", "then": "off", "words": "x"}]', "`remarks.0.then`"),
        ("abab", "ABAB", "`files.0.sha256`"),
        ("door-02.wav", "../../door.wav", "`files.0.path`"),
        ("door-02.wav", "/etc/passwd", "`files.0.path`"),
        ("door-02.wav", "C:/x.wav", "`files.0.path`"),
        ("door-02.wav", "a\\\\..\\\\x.wav", "`files.0.path`"),
        ('"bytes": 1234', '"bytes": -1', "`files.0.bytes`"),
        ('"take": 2', '"retired": false, "take": 2', "`retired`: True was expected"),
        ("5.041", "1e999", "1e999 is no number"),
        ('"job_id": "door"', '"job_id": "../door"', "`job_id`"),
        ('"901234567890123456"', '"../../../account/costs"', "`task_id`"),
        ('"901234567890123456"', '".."', "`task_id`"),
        ('"kb-door-2"', '"../hold.txt"', "`external_id`"),
        ('"text-to-audio"', '"text\\u001b[2J"', "`kind`"),
        ("Old oak door", "Old \\ud800 door", "half of a character"),
        ("Old oak door, créaking", 'x", "more": ' + "[" * 20 + "]" * 20 + ', "y": "', "this is not"),
        ("Old oak door, créaking", 'x", "loud": 1e999, "y": "', "1e999 is no number"),
        ('"bytes": 1234', '"bytes": ' + "9" * 30, "`files.0.bytes`"),
        ("door-02.wav", "x" * 5000 + ".wav", "`files.0.path`"),
        ("door-02.wav", "x" * 300 + ".wav", "longer than 200 bytes"),
        ("door-02.wav", "aux.wav", "reserved name on Windows"),
        ("door-02.wav", "a\\u202evaw.wav", "u202e' is not allowed"),
        ("door-02.wav", ".kling-batch/hold.wav", "the program's own files"),
        ("door-02.wav", "door-02.txt", "does not end in .wav"),
        ('{"job_id"', '7, {"job_id"', "7 is not of type 'object'"),
        ('{"job_id"', '"finish", {"job_id"', "is not of type 'object'"),
    ],
)
def test_a_hand_edited_take_is_refused_by_its_line(text: str, refusal: Any, old: str, new: str, words: str) -> None:
    """What is wrong is said of the line where it stands."""
    lines = text.splitlines(keepends=True)
    assert old in lines[6]
    error = refusal("".join([*lines[:6], lines[6].replace(old, new, 1), *lines[7:]]))
    assert error.line == 7
    assert any(word in error.message for word in words.split("|"))


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        ("[]", "is not of type 'object'"),
        ("null", "is not of type 'object'"),
        ("{}", "required property"),
        ('{"lock_version": 1, "project": "tavern", "takes": [], "extra": 1}', "'extra' was unexpected"),
        ('{"lock_version": 1, "project": "tavern", "takes": {}}', "one list `takes`"),
        ('{"lock_version": 1, "project": "tavern"}', "one list `takes`"),
        ('{"lock_version": true, "project": "tavern", "takes": []}', "`lock_version`"),
        ('{"lock_version": NaN}', "NaN is no number"),
        ('{"lock_version": ' + "9" * 5000 + "}", "no JSON"),
        ("[" * 200_000, "no JSON|ends in the middle"),
        ("takes: []", "no JSON"),
    ],
)
def test_what_is_no_lock_is_refused(refusal: Any, whole: str, words: str) -> None:
    """Any text ends in words, never in a traceback."""
    assert any(word in refusal(whole).message for word in words.split("|"))


def test_two_lists_of_takes_are_refused(text: str, refusal: Any) -> None:
    """JSON keeps the last of two equal names in silence, and the takes of the first would be paid for again."""
    again = text.replace('"takes": [\n', '"takes": [],\n"takes": [\n')
    assert "exactly one list" in refusal(again).message


def test_a_lock_that_is_no_text_is_refused(path: Path, text: str) -> None:
    """The line of the first odd byte is named."""
    path.write_bytes(text.encode().replace(b"\xc3", b"\xff", 1))
    with pytest.raises(LockInvalid, match="UTF-8") as caught:
        read_lock(path, project="tavern")
    assert caught.value.line == 6


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_lock_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing that stands in the file reaches the user as a traceback."""
    path = tmp_path_factory.mktemp("lock") / "x.lock"
    path.write_bytes(data)
    with pytest.raises(LockInvalid):
        read_lock(path, project="tavern")


anything: st.SearchStrategy[Any] = st.one_of(st.none(), values, st.lists(st.text(max_size=3), max_size=2), st.just({}))


@given(found=entries, retired=st.booleans(), data=st.data())
def test_the_quick_check_lets_nothing_through_that_the_schema_refuses(
    found: LockEntry, retired: bool, data: Any
) -> None:
    """The schema that editors read is the rule; the reader's own check is only faster."""
    item = json.loads(json.dumps(_as_json(found, retired=retired)))
    target = data.draw(st.sampled_from([item, *item["files"]]))
    target[data.draw(st.sampled_from([*target, "other"]))] = data.draw(anything)
    rules = schema("lock")
    good = jsonschema.Draft7Validator(rules["definitions"]["take"] | {"definitions": rules["definitions"]}).is_valid(
        item
    )
    assert good or not fits(item, _FIELDS, _ALL_FIELDS)


def test_a_lock_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The path and the cause are named."""
    with pytest.raises(DiskUnusable, match=r"missing/x\.lock"):
        write_lock(tmp_path / "missing" / "x.lock", lock_of(entry()))


def test_a_lock_that_is_a_folder_is_said(tmp_path: Path) -> None:
    """Reading it is a fault of the disk, not of the lock's text."""
    with pytest.raises(DiskUnusable, match="a folder stands"):
        read_lock(tmp_path, project="tavern")
