"""A stranger's repository on a build machine: no command without keys leaves its folders, hangs or gives up."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.promises.hosts import running
from tests.promises.machine import CHECKOUT, Machine
from tests.promises.service import Service

_COMMANDS = (
    "validate set.json",
    "plan set.json --out sounds",
    "status set.json --out sounds",
    "verify set.json --out sounds",
    "run set.json --out sounds --frozen",
    "restore set.json --out sounds",
    "pick set.json --out sounds a=1",
    "report set.json --out sounds",
    "stats set.json --out sounds",
    "doctor set.json --out sounds",
)
_RUNNER = """
import os, sys
from kling_batch.cli import main
*homes, commands = sys.argv[1:]
for home in homes:
    os.environ.update(HOME=home, XDG_CACHE_HOME=f"{home}/cache", XDG_STATE_HOME=f"{home}/state")
    os.chdir(f"{home}/work")
    for line in commands.splitlines():
        print(f"== {os.path.dirname(home)}: {line}: {main(line.split())}", file=sys.stderr, flush=True)
"""
_LONGEST_S = 300.0
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
_PLACE = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_READ_BY_ALL = (
    *(sys.prefix, sys.base_prefix, str(CHECKOUT), "/usr", "/lib", "/bin", "/proc", "/sys", "/dev/null", "/dev/urandom"),
    *(
        "/etc/ld.so",
        "/etc/ssl",
        "/etc/locale.alias",
        "/etc/localtime",
        "/etc/mime.types",
        "/etc/apache2/mime.types",
        "/etc/nsswitch.conf",
    ),
)
_TOUCHING = {
    "open", "openat", "openat2", "creat", "truncate", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink",
    "unlinkat", "rmdir", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmodat", "chown", "fchownat",
    "utimensat", "utime", "mknod", "mknodat", "setxattr",
}  # fmt: skip

Hostile = Callable[[Path, Path], None]
"""Changes a repository; gets its folder, and one outside of it that must stay as it is."""


def _link(name: str, to: str = "precious") -> Hostile:
    """Put a link to outside where something of ours stands, or will."""

    def change(work: Path, outside: Path) -> None:
        _gone(work / name)
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).symlink_to(outside / to)

    return change


def _pipe(name: str) -> Hostile:
    def change(work: Path, outside: Path) -> None:
        del outside
        _gone(work / name)
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(work / name)

    return change


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _all(*several: Hostile) -> Hostile:
    def change(work: Path, outside: Path) -> None:
        for each in several:
            each(work, outside)

    return change


def _edited(work: Path, outside: Path) -> None:
    """Have a sound that another takes the place of."""
    del outside
    (work / "sounds/sub/a-01.wav").write_bytes(b"edited")


def _on_its_way(work: Path, outside: Path) -> None:
    """Link the partial files, for bytes that the lock names, that the store lacks, and that are no sound."""
    garbage = b"ssh-ed25519 AAAA mallory"
    lock = (work / "set.json.lock").read_text(encoding="utf-8")
    for sha256 in set(re.findall(r'"sha256": "(\w+)"', lock)):
        lock = lock.replace(sha256, hashlib.sha256(garbage).hexdigest())
    (work / "set.json.lock").write_text(lock, encoding="utf-8")
    shutil.rmtree(work / "sounds" / "sub")
    shutil.rmtree(work / "sounds" / ".kling-batch")
    replaced = work / "sounds" / ".kling-batch" / "replaced"
    replaced.mkdir(parents=True)
    (replaced / f"a.{hashlib.sha256(garbage).hexdigest()[:12]}.wav").write_bytes(garbage)
    for name in re.findall(r'"external_id": "([\w-]+)"', lock):
        _link(f"sounds/.kling-batch/partial/{name}.wav")(work, outside)


def _undecoded(work: Path, outside: Path) -> None:
    """The same, without links."""
    _on_its_way(work, outside)
    shutil.rmtree(work / "sounds" / ".kling-batch" / "partial")


def _from_the_store(work: Path, outside: Path) -> None:
    """Link the partial files, for sounds that the store has."""
    shutil.rmtree(work / "sounds" / "sub")
    lock = (work / "set.json.lock").read_text(encoding="utf-8")
    for name in re.findall(r'"external_id": "([\w-]+)"', lock):
        _link(f"sounds/.kling-batch/partial/{name}.wav")(work, outside)


def _table(name: str) -> Hostile:
    def change(work: Path, outside: Path) -> None:
        (work / "link.csv").symlink_to(outside / "secret.csv")
        (work / "passwords.csv").symlink_to("/etc/passwd")
        os.mkfifo(work / "pipe.csv")
        manifest = json.loads((work / "set.json").read_text(encoding="utf-8"))
        manifest["jobs"].append({"from": name})
        (work / "set.json").write_text(json.dumps(manifest), encoding="utf-8")

    return change


def _sql(script: str) -> Hostile:
    """Prepare the journal."""

    def change(work: Path, outside: Path) -> None:
        shutil.rmtree(work / "sounds" / "sub")
        path = work / "sounds" / ".kling-batch" / "journal.sqlite3"
        with closing(sqlite3.connect(path)) as journal:
            journal.execute("PRAGMA journal_mode = DELETE")
            journal.executescript(script.replace("OUTSIDE", str(outside)))

    return change


def _deletes(work: Path, outside: Path) -> None:
    """Leave a transaction to be undone, that says to have been in several databases, of which one lists the others."""
    for name in ("hold", "journal.sqlite3"):
        path = work / "sounds" / ".kling-batch" / name
        with closing(sqlite3.connect(path, isolation_level=None)) as journal:
            journal.execute("PRAGMA journal_mode = DELETE")
            journal.execute("CREATE TABLE IF NOT EXISTS meta (key, value)")
            journal.execute("PRAGMA cache_size = 1")
            journal.execute("BEGIN IMMEDIATE")
            journal.execute("INSERT INTO meta VALUES ('x', hex(randomblob(100000)))")
            torn, note = path.read_bytes(), path.with_name(f"{name}-journal").read_bytes()
        path.write_bytes(torn)
        victim = str(outside / "precious").encode()
        size = len(note) - len(note) % 512
        end = victim + len(victim).to_bytes(4, "big") + sum(victim).to_bytes(4, "big")
        lock_page = (0x40000000 // 4096 + 1).to_bytes(4, "big")
        path.with_name(f"{name}-journal").write_bytes(note[:size] + lock_page + end + bytes.fromhex("d9d505f920a163d7"))


_HOSTILE: dict[str, Hostile] = {
    "partial files as links": _from_the_store,
    "partial files as links, for bytes that are no sound": _on_its_way,
    "bytes that are no sound": _undecoded,
    "our folder": _link("sounds/.kling-batch", "folder"),
    "hold": _link("sounds/.kling-batch/hold", "other.sqlite3"),
    "hold.txt": _link("sounds/.kling-batch/hold.txt"),
    "journal": _link("sounds/.kling-batch/journal.sqlite3", "other.sqlite3"),
    "journal's log": _link("sounds/.kling-batch/journal.sqlite3-wal", "new"),
    "folder of sounds": _link("sounds/sub", "folder"),
    "a sound": _link("sounds/sub/a-01.wav", "sound.wav"),
    "reports": _all(*(_link(f"sounds/{name}") for name in ("report.json", "report.html", "report.md", "junit.xml"))),
    "replaced": _all(_link("sounds/.kling-batch/replaced", "folder"), _edited),
    "lock": _link("set.json.lock"),
    "manifest": _link("set.json", "secret.json"),
    "table by ..": _table("../../outside/secret.csv"),
    "table by a link": _table("link.csv"),
    "table of passwords": _table("passwords.csv"),
    "table as a pipe": _table("pipe.csv"),
    "manifest as a pipe": _pipe("set.json"),
    "lock as a pipe": _pipe("set.json.lock"),
    "sound as a pipe": _pipe("sounds/sub/a-01.wav"),
    "journal as a pipe": _pipe("sounds/.kling-batch/journal.sqlite3"),
    "hold as a pipe": _pipe("sounds/.kling-batch/hold"),
    "report as a pipe": _pipe("sounds/report.json"),
    "a device as a sound": _link("sounds/sub/a-01.wav", "/dev/zero"),
    "an endless view": _sql(
        "DROP TABLE attempts; CREATE VIEW attempts AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS external_id FROM n;"
    ),
    "a trigger": _sql(
        "CREATE TRIGGER runs_too AFTER INSERT ON runs BEGIN"
        " INSERT INTO meta SELECT i, randomblob(1000000) FROM (WITH RECURSIVE n(i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n); END;"
    ),
    "a huge cell": _sql("UPDATE attempts SET message = zeroblob(40000000);"),
    "cells of other types": _sql(
        "UPDATE attempts SET take = x'ff', sent_at = 'soon', task_id = '../../account/costs';"
    ),
    "files elsewhere": _sql("UPDATE files SET path = 'OUTSIDE/sound.wav';"),
    "a history that is none": _sql("UPDATE runs SET limits = replace(hex(zeroblob(50000)), '00', '[');"),
    "a year that is none": _sql("UPDATE runs SET started_at = 1e30, exit_status = 77;"),
    "a transaction to be undone": _deletes,
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's home after an honest run: manifest, lock, output folder and store."""
    home = tmp_path_factory.mktemp("honest")
    with running() as service:
        machine = Machine(home=home, service=service).write("a", "b", file="sub/{id}-{take:02}")
        ended = machine.run("--yes")
        assert ended.done, ended.said
    return home


def _copy(honest: Path, folder: Path) -> Path:
    """Copy that home, beside a folder that is nobody's business."""
    outside = folder / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "precious").write_text("precious\n", encoding="utf-8")
    (outside / "secret.csv").write_text("id,prompt\nroot:x:0:0,hidden\n", encoding="utf-8")
    (outside / "secret.json").write_text("a secret line\n", encoding="utf-8")
    shutil.copy(honest / "work" / "sounds" / "sub" / "a-01.wav", outside / "sound.wav")
    shutil.copy(honest / "work" / "sounds" / ".kling-batch" / "journal.sqlite3", outside / "other.sqlite3")
    shutil.copytree(honest, folder / "home")
    return folder / "home"


def _everything_in(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def _touched(trace: Path) -> Iterator[tuple[str, bool]]:
    """Give the files that were opened or changed, where links really lead, and whether they were changed."""
    work = Path("/")
    for line in trace.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        call = _CALL.match(line)
        if call is None or " = -1 " in line:
            continue
        if call[1] == "chdir":
            work = Path(call[2].split('"')[1])
        if call[1] not in _TOUCHING:
            continue
        opens = call[1].startswith("open")
        if opens and "O_PATH" in line:
            continue
        changed = not opens or re.search(r"O_WRONLY|O_RDWR|O_CREAT", line) is not None
        for at, name in _PLACE.findall(call[2]):
            path = Path(at or work) / name.encode().decode("unicode_escape")
            whole = os.path.realpath(path) if opens else str(Path(os.path.realpath(path.parent)) / path.name)
            yield whole, changed


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed, which sees what is opened")
@pytest.mark.parametrize("names", [list(_HOSTILE)[turn::4] for turn in range(4)])
def test_a_hostile_repository_leads_nowhere(honest: Path, tmp_path: Path, machine: Machine, names: list[str]) -> None:
    """Nothing outside is written, read or shown, nothing is waited for, and nothing is called a bug."""
    folders = [tmp_path / name for name in names]
    homes = [_copy(honest, folder) for folder in folders]
    for name, home in zip(names, homes, strict=True):
        _HOSTILE[name](home / "work", home.parent / "outside")
    before = [_everything_in(folder / "outside") for folder in folders]
    keyless = {name: value for name, value in machine.variables().items() if not name.startswith("KLING")}
    keyless |= {"TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    (tmp_path / "tmp").mkdir()
    told = subprocess.run(
        ["strace", "--seccomp-bpf", "-f", "-y", "-s", "4096", "-e", "trace=%file", "-o", tmp_path / "trace",
         sys.executable, "-c", _RUNNER, *homes, "\n".join(_COMMANDS)],
        cwd=homes[0] / "work", env=keyless, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=_LONGEST_S,
    )  # fmt: skip
    ended = re.findall(r"^== (.*): (\w+ .*): (\d+)$", told.stderr, re.MULTILINE)
    assert [(where, line) for where, line, _ in ended] == [
        (str(folder), line) for folder in folders for line in _COMMANDS
    ], told.stderr
    assert {int(status) for *_, status in ended} <= {0, 2, 3, 4, 6}, told.stderr
    assert "root:x:0:0" not in told.stderr + told.stdout
    assert "secret line" not in told.stderr + told.stdout
    assert [_everything_in(folder / "outside") for folder in folders] == before
    ours = tuple(str(home / name) for home in homes for name in ("work/sounds", "cache", "state"))
    read = (*_READ_BY_ALL, *ours, *(str(home / "work") for home in homes), str(tmp_path / "tmp"))
    locks = (str(home / "work" / name) for home in homes for name in ("set.json.lock", ".set.json.lock."))
    written = (*ours, *locks, str(tmp_path / "tmp"), "/dev/null")
    touched = set(_touched(tmp_path / "trace"))
    assert any(changed for _, changed in touched)
    astray = {path for path, changed in touched if not path.startswith(written if changed else read)}
    assert not astray, f"{astray}\n{told.stderr}"
    sounds = (path for home in homes for path in (home / "work" / "sounds").glob("sub/*"))
    assert b"mallory" not in b"".join(path.read_bytes() for path in sounds)


def test_a_huge_cell_is_not_read(honest: Path, tmp_path: Path, service: Service) -> None:
    """It would take the memory of the build machine; the journal is refused."""
    home = _copy(honest, tmp_path)
    _HOSTILE["a huge cell"](home / "work", tmp_path / "outside")
    ended = Machine(home=home, service=service).run(verb="plan")
    assert ended.status == 6
    assert "too big" in ended.said
