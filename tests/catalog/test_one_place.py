"""What a kind of task is called, and how its fields and formats are, stands in the catalog and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kling_batch import resources
from kling_batch.catalog import Kind, kinds, read_kind

NAMED = re.compile(r"text-to-audio|(?<![\w-])(?:prompt|duration|wav|mp3)(?![\w-])")
ROOMS = ("catalog", "sandbox")
"""Packages that may name a kind and what belongs to it."""
EXCEPTIONS = {
    "delivery/finish/writing.py": {"mp3"},
    "delivery/verify.py": {"wav", "mp3"},
    "delivery/video.py": {"duration"},
    "records/fields.py": {"duration"},
    "records/lock.py": {"duration"},
    "report/json_.py": {"duration"},
}
"""`writing` makes files of formats of its own. `verify` looks through the files of two containers before the decoder
does, and `video` asks PyAV for a length.
Records and report name that of a finished file `duration`, as their schemas fix it: that is no field of a request."""


def _names(source: str) -> Iterator[str]:
    """Find what is named in constants that are no docstrings, in attributes and in arguments."""
    tree = ast.parse(source)
    words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words:
            yield from NAMED.findall(node.value)
        elif isinstance(node, ast.Attribute):
            yield from NAMED.findall(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            yield from NAMED.findall(node.arg)


def test_nothing_else_names_a_kind_or_what_belongs_to_it(request: pytest.FixtureRequest) -> None:
    """Another endpoint would be more than another file otherwise. What is excepted is still there, too."""
    package = request.config.rootpath / "kling_batch"
    modules = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    found = {
        name: names
        for name, path in modules.items()
        if Path(name).parts[0] not in ROOMS and (names := set(_names(path.read_text(encoding="utf-8"))))
    }
    assert found == EXCEPTIONS


@pytest.mark.parametrize("source", ['x = "wav"', "job.prompt", "f(duration=1)", 'y = f"{a}: text-to-audio"'])
def test_a_name_is_found(source: str) -> None:
    """The check above sees constants, attributes and arguments."""
    assert set(_names(source))


class _Watched(dict[str, Any]):
    """Notes which of its keys are read."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(facts)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("name", list(kinds()))
def test_every_key_of_a_kind_is_read(name: str) -> None:
    """A fact that nobody reads would be a promise that nobody keeps."""
    schema = resources.schema(f"tasks/{name}")
    watched = _Watched(schema["x-kling"])
    read_kind(name, MappingProxyType({**schema, "x-kling": watched}))
    assert watched.read == watched.keys()


def test_every_fact_of_a_kind_is_used(request: pytest.FixtureRequest) -> None:
    """Each field of a kind, and of its outputs, is asked for somewhere outside of where it is read."""
    package = request.config.rootpath / "kling_batch"
    reader = package / "catalog" / "kinds.py"
    used = {
        node.attr
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and (path != reader or isinstance(node.value, ast.Name))
    }
    (output, *_) = next(iter(kinds().values())).outputs.values()
    assert {*Kind.__dataclass_fields__, *output.__dataclass_fields__} <= used


@pytest.mark.parametrize("name", list(kinds()))
def test_every_fact_has_a_source(name: str) -> None:
    """What a kind says of the service says where that is known from, with how sure it is; advice needs no source."""
    schema = resources.schema(f"tasks/{name}")
    of_ours = {"words", "length", "formats", "meant"}
    facts = (schema["x-kling"].keys() | schema["properties"].keys()) - of_ours - {schema["x-kling"]["external_id"]}
    assert facts == schema["x-sources"].keys()
    assert all(re.match(r"\[[A-Z0-9]+\] ", source) for source in schema["x-sources"].values())
