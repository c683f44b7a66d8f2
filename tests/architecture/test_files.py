"""Files are opened and changed in few places, and below the output folder only where no link is followed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

CALLS = {
    "open", "write_text", "write_bytes", "read_text", "read_bytes", "unlink", "mkdir", "rename", "touch", "rmdir",
    "symlink_to", "hardlink_to", "copyfile", "copy2", "copy", "copytree", "move", "rmtree", "truncate", "chmod",
}  # fmt: skip
IN_THE_OUTPUT_FOLDER = {
    "records/journal": "own_folder",
    "records/layout": "inside",
    "records/shared_lock": "inside",
    "delivery/place": "inside",
    "planning/picks": "coming_file",
    "running/files": "coming_file",
    "running/siblings": "coming_file",
    "report/disk": "inside",
    "cli/github": "inside",
}
"""Modules that open, make or change files there, and what each has to ask where it may."""
ELSEWHERE = {
    "disk": "opens for all",
    "delivery/part": "gets the name of a file on its way from `place.coming_file`",
    "delivery/video": "opens what is in memory",
    "delivery/finish/reading": "gets a source that was asked for by `disk.is_file`",
    "delivery/finish/__init__": "writes into the folder that it gets, from `place.coming_file` or a temporary one",
    "delivery/orders": "opens the store, and has a temporary folder of its own",
    "running/processes": "the null device",
    "running/cluster": "opens the store, and has a temporary folder of its own",
    "delivery/verify": "gets a file that was asked for by `disk.is_file`, or is on its way",
    "records/run_lock": "gets our folder from `layout.own_folder`",
    "records/lock": "the lock",
    "records/account": "the user's state folder",
    "records/store": "the store",
    "records/object_store": "the store",
    "records/local_disk": "the kernel's table of mounts",
    "api/access": "a file that the manifest hands over",
    "resources": "the package's own files",
    "service/codes": "the package's own files",
    "catalog/manifest": "the package's own files",
    "report/html": "the package's own files",
    "cli/commands/init": "begins a project",
    "cli/commands/demo": "opens a browser",
    "cli/commands/stats": "writes where it is told to",
    "cli/commands/pick": "reads the list of picks that it is told to",
    "cli/log": "the log file",
    "__main__": "the null device",
    "running/session": "opens the service",
    "report/csv_": "empties a piece of text",
    "report/stats": "renames columns",
    "sandbox/recipes": "the package's own files",
    "sandbox/wire": "the package's own files",
    "sandbox/video": "makes videos in memory",
}


def calls_of(package: Path) -> Iterator[tuple[str, ast.Module]]:
    """Give every module that opens, makes or changes files."""
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(_touches(node) for node in ast.walk(tree)):
            yield path.relative_to(package).with_suffix("").as_posix(), tree


def _touches(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id == "open"
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return name in CALLS or (name == "replace" and len(node.args) == 1 and not node.keywords)


def astray(found: Iterable[tuple[str, ast.Module]]) -> list[str]:
    """Name modules that touch files and are not known to, or do not ask where they may."""
    breaches = []
    for module, tree in found:
        asks = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if module not in ELSEWHERE and IN_THE_OUTPUT_FOLDER.get(module) not in asks:
            breaches.append(module)
    return breaches


def test_files_are_touched_by_those_alone_that_are_known_to(request: pytest.FixtureRequest) -> None:
    """A stranger's output folder may hold links and pipes: whoever opens something there asks `disk` first."""
    found = dict(calls_of(request.config.rootpath / "kling_batch"))
    assert astray(found.items()) == []
    assert set(ELSEWHERE) | set(IN_THE_OUTPUT_FOLDER) == set(found)


@pytest.mark.parametrize(
    "code", ["open(x)", "path.open('w')", "shutil.copyfile(a, b)", "coming.replace(final)", "(out / x).unlink()"]
)
def test_a_breach_is_found(tmp_path: Path, code: str) -> None:
    """In whatever way a file is touched."""
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / "new.py").write_text(f"def f():\n    {code}\n", encoding="utf-8")
    assert astray(calls_of(tmp_path)) == ["running/new"]


def test_text_is_not_taken_for_a_file(tmp_path: Path) -> None:
    """Words and values are replaced, too."""
    (tmp_path / "a.py").write_text("x.replace('a', 'b')\nreplace(take, edition=2)\n", encoding="utf-8")
    assert astray(calls_of(tmp_path)) == []
