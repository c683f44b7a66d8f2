"""A verified file gets its final name, and nothing that stood there is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_batch.delivery.place import place
from kling_batch.disk import disk_border, hash_file
from kling_batch.errors import DiskUnusable


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def put(out: Path, sha256: Any) -> Callable[..., Path | None]:
    """Place bytes under a name in the output folder."""

    def run(content: bytes, name: str, *, src: Path | None = None, **options: Any) -> Path | None:
        partial = src or out / ".kling-batch" / "partial" / "part.wav"
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        return place(partial, out / name, out=out, sha256=sha256(content), **options)

    return run


def test_a_file_moves_to_its_name(out: Path, put: Any) -> None:
    """Folders are made, and the partial file is gone."""
    assert put(b"new", "steps/wet/door.wav") is None
    assert (out / "steps/wet/door.wav").read_bytes() == b"new"
    assert not list((out / ".kling-batch" / "partial").iterdir())


def test_the_same_bytes_are_not_kept_twice(out: Path, put: Any) -> None:
    """Placing a file again changes nothing."""
    put(b"new", "door.wav")
    assert put(b"new", "door.wav") is None
    assert (out / "door.wav").read_bytes() == b"new"
    assert not (out / ".kling-batch" / "replaced").exists()


def test_a_different_file_is_kept(out: Path, put: Any) -> None:
    """What a person edited is moved away, each version under a name of its own."""
    for edit in (b"edit 1", b"edit 2", b"edit 1"):
        (out / "a").mkdir(parents=True, exist_ok=True)
        (out / "a/door.wav").write_bytes(edit)
        kept = put(b"new", "a/door.wav")
        assert kept.read_bytes() == edit
        assert (out / "a/door.wav").read_bytes() == b"new"
    names = sorted(path.name for path in (out / ".kling-batch" / "replaced").iterdir())
    assert len(names) == 3
    assert all(name.startswith("door.") and name.endswith(".wav") for name in names)


def test_a_link_at_the_name_is_moved_and_not_written_through(out: Path, put: Any, tmp_path: Path) -> None:
    """The file that a link points to belongs to somebody else."""
    out.mkdir()
    (tmp_path / "mine.wav").write_bytes(b"mine")
    (out / "door.wav").symlink_to(tmp_path / "mine.wav")
    assert put(b"new", "door.wav").is_symlink()
    assert (tmp_path / "mine.wav").read_bytes() == b"mine"
    assert not (out / "door.wav").is_symlink()


@pytest.mark.parametrize("name", ["away/door.wav", "away/deep/door.wav", "../door.wav", "a/../../door.wav"])
def test_nothing_is_written_outside_of_the_output_folder(out: Path, put: Any, tmp_path: Path, name: str) -> None:
    """Neither a link nor a path leads out, and no folder is made there."""
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "away").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskUnusable, match="outside of the output folder") as caught:
        put(b"new", name)
    assert "no link is followed" in str(caught.value.hint)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_to_within_the_output_folder_is_not_followed_either(out: Path, put: Any) -> None:
    """One rule for all links: whoever arranges the folder by them is told which one is in the way."""
    (out / "real").mkdir(parents=True)
    (out / "alias").symlink_to(out / "real")
    with pytest.raises(DiskUnusable, match="alias is a symbolic link"):
        put(b"new", "alias/door.wav")
    assert not list((out / "real").iterdir())


def test_a_folder_at_the_name_is_said(out: Path, put: Any) -> None:
    """A folder is never replaced."""
    (out / "door.wav").mkdir(parents=True)
    with pytest.raises(DiskUnusable, match="a folder stands where a file is needed"):
        put(b"new", "door.wav")


def test_a_name_too_long_is_said_with_the_repair(put: Any) -> None:
    """The repair is in the manifest."""
    with pytest.raises(DiskUnusable, match="too long") as caught:
        put(b"new", "x" * 300 + ".wav")
    assert "Shorten `file` or `id`" in str(caught.value.hint)


def test_a_file_in_the_way_of_a_folder_is_said(out: Path, put: Any) -> None:
    """The path names what stands in the way."""
    out.mkdir()
    (out / "steps").write_bytes(b"")
    with pytest.raises(DiskUnusable, match="steps"):
        put(b"new", "steps/door.wav")


@pytest.fixture
def other_file_system() -> Iterator[Path]:
    """A folder on another file system than the temporary one."""
    folder = Path("/dev/shm") / f"kling-batch-test-{os.getpid()}"  # noqa: S108 - another mount is the point
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def test_a_file_moves_between_file_systems(out: Path, put: Any, other_file_system: Path) -> None:
    """Where a rename cannot do it, a copy is renamed."""
    assert other_file_system.stat().st_dev != out.parent.stat().st_dev
    put(b"new", "door.wav", src=other_file_system / "part.wav")
    assert (out / "door.wav").read_bytes() == b"new"
    assert [path.name for path in out.iterdir()] == ["door.wav"]
    assert not list(other_file_system.iterdir())


def test_a_crash_at_any_effect_loses_neither_file(out: Path, put: Any, crash_at: Any, crash: Any) -> None:
    """At every instant the final name holds a whole file or none, and what stood there is somewhere."""

    def begin() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "door.wav").write_bytes(b"edited")

    begin()
    put(b"new", "door.wav", probe=(every := crash_at()))
    assert every.effects == ["fsync file", "rename replaced", "fsync folder", "rename", "fsync folder"]
    for at in range(len(every.effects)):
        begin()
        with pytest.raises(crash):
            put(b"new", "door.wav", probe=crash_at(at))
        contents = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
        assert sorted(contents) == [b"edited", b"new"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO])
def test_every_fault_of_the_disk_names_the_file_and_the_repair(number: int) -> None:
    """No OSError passes the border, and its message can be acted upon."""
    with pytest.raises(DiskUnusable, match=r"^/sounds/door\.wav: ") as caught, disk_border(Path("/sounds/door.wav")):
        raise OSError(number, os.strerror(number))
    assert "run" in str(caught.value.hint)


def test_a_fault_without_a_number_is_mapped_too() -> None:
    """Some libraries raise a bare OSError."""
    with pytest.raises(DiskUnusable, match="odd"), disk_border(Path("x")):
        raise OSError("odd")


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path, sha256: Any) -> None:
    """The hash is SHA-256 in hexadecimal."""
    (tmp_path / "x").write_bytes(b"sound")
    assert hash_file(tmp_path / "x") == sha256(b"sound")
