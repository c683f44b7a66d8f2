"""The house has floors: a part knows only those below it. `docs/architecture.md` says why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

FLOORS = [
    {"", "errors", "model", "events", "clock", "effects", "resources", "identity", "http", "disk", "text"},
    {"catalog"},
    {"manifest", "service", "records"},
    {"delivery"},
    {"planning"},
    {"running"},
    {"report"},
    {"api"},
    {"cli"},
    {"__main__"},
]
"""From the ground up. Rooms of one floor do not know each other, but for the ground's. "" is `kling_batch` itself."""
GROUND = FLOORS[0]
FACE = "kling_batch"
"""Names what other programs use, and imports it when it is asked for."""
FLOOR_OF = {part: number for number, floor in enumerate(FLOORS) for part in floor}
SANDBOX_MAY_KNOW = {"sandbox", "", "model", "errors", "clock", "resources"}
MAY_KNOW_THE_SANDBOX = {"sandbox", "api", "cli"}
DOORS = {
    "httpx": {
        "kling_batch.http",
        "kling_batch.service.client",
        "kling_batch.delivery.download",
        "kling_batch.api.access",
        "kling_batch.sandbox.transport",
    },
    "sqlite3": {"kling_batch.records"},
    "jwt": {"kling_batch.service.auth", "kling_batch.sandbox.auth"},
    "yaml": {"kling_batch.manifest.yaml_text", "kling_batch.manifest.yaml_errors"},
    "python_calamine": {"kling_batch.manifest.workbook"},
    "tqdm": {"kling_batch.cli.progress"},
    "click": {"kling_batch.cli"},
    "pandas": {"kling_batch.model", "kling_batch.report.stats"},
    "jinja2": {"kling_batch.report.html"},
    "junitparser": {"kling_batch.report.junit"},
    "soundfile": {
        "kling_batch.delivery.verify",
        "kling_batch.delivery.finish.reading",
        "kling_batch.delivery.finish.writing",
        "kling_batch.manifest.inputs",
        "kling_batch.sandbox",
    },
    "distributed": {"kling_batch.running.cluster"},
    "soxr": {"kling_batch.delivery.finish.steps"},
    "obstore": {"kling_batch.records.object_store"},
    "standardwebhooks": {"kling_batch.service.callbacks"},
}
"""Which modules, or packages with all that is in them, a library may be imported by."""
TYPES_ALONE = {"kling_batch.api.access"}
"""Modules that may name httpx's types and not import it."""

Breaches = list[str]


def part_of(module: str) -> str:
    """Name the part of the house a module belongs to."""
    return ".".join(module.split(".")[1:2])


def upward(imports: Iterable[Any]) -> Breaches:
    """Find what knows a part of its own floor or of one above."""
    return [
        str(each)
        for each in imports
        if each.target.split(".")[0] == "kling_batch"
        and "sandbox" not in {(here := part_of(each.module)), (there := part_of(each.target))}
        and here != there
        and not {here, there} <= GROUND
        and not (each.module == FACE and each.for_types)
        and FLOOR_OF[there] >= FLOOR_OF[here]
    ]


def about_the_sandbox(imports: Iterable[Any]) -> Breaches:
    """Find what the sandbox knows and should not, and what knows the sandbox and should not."""
    ours = [each for each in imports if each.target.split(".")[0] == "kling_batch"]
    return [
        str(each)
        for each in ours
        if (part_of(each.module) == "sandbox" and part_of(each.target) not in SANDBOX_MAY_KNOW)
        or (part_of(each.target) == "sandbox" and part_of(each.module) not in MAY_KNOW_THE_SANDBOX)
    ]


def past_the_door(imports: Iterable[Any]) -> Breaches:
    """Find libraries that are imported by another module than their door."""
    return [
        str(each)
        for each in imports
        if (doors := DOORS.get(each.target.split(".")[0])) is not None
        and (
            not any(each.module == door or each.module.startswith(f"{door}.") for door in doors)
            or (each.module in TYPES_ALONE and not each.for_types)
        )
    ]


def cycle(imports: Iterable[Any]) -> list[str]:
    """Find modules that know each other in a ring, for types too and by way of others; empty if there are none."""
    edges = defaultdict(set)
    for each in imports:
        if each.target != each.module and not (each.module == FACE and each.for_types):
            edges[each.module].add(each.target)
    done: set[str] = set()

    def ring_from(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        found = next(
            (ring for target in sorted(edges.get(module, ())) if (ring := ring_from(target, [*path, module]))), []
        )
        done.add(module)
        return found

    return next((ring for module in sorted(edges) if (ring := ring_from(module, []))), [])


def test_every_part_has_a_floor(request: pytest.FixtureRequest) -> None:
    """A new part is given its place in the house before it is used."""
    package = request.config.rootpath / "kling_batch"
    parts = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert parts - {"__init__", "sandbox"} <= set(FLOOR_OF)


def test_a_part_knows_only_those_below_it(imports: list[Any]) -> None:
    """So that the lower can be understood, tested and changed without the upper."""
    assert len(imports) > 100
    assert upward(imports) == []


def test_the_sandbox_shares_nothing_with_the_client(imports: list[Any]) -> None:
    """One mistake about the service must not hide another, and no real run leans on the stand-in."""
    assert about_the_sandbox(imports) == []


def test_a_library_has_one_door(imports: list[Any]) -> None:
    """Its exceptions become ours there, and it can be replaced there."""
    assert past_the_door(imports) == []


def test_no_module_imports_itself_by_way_of_others(imports: list[Any]) -> None:
    """A ring of imports has no bottom to begin at."""
    assert cycle(imports) == []


@pytest.mark.parametrize(
    ("check", "modules"),
    [
        (upward, {"errors": "from kling_batch.service import wire", "service/wire": ""}),
        (upward, {"records/a": "def f():\n    import kling_batch.delivery.part", "delivery/part": ""}),
        (upward, {"planning/plan": "from kling_batch.report.html import x", "report/html": ""}),
        (upward, {"records/a": "if TYPE_CHECKING:\n    from kling_batch import running", "running/__init__": ""}),
        (about_the_sandbox, {"sandbox/world": "from kling_batch.service.codes import CODES", "service/codes": ""}),
        (about_the_sandbox, {"running/run": "import kling_batch.sandbox.world", "sandbox/world": ""}),
        (past_the_door, {"running/run": "def f():\n    import httpx"}),
        (past_the_door, {"api/access": "import httpx"}),
        (past_the_door, {"delivery/part": "try:\n    from sqlite3 import dbapi2\nexcept OSError:\n    pass"}),
        (past_the_door, {"service/wire": "import httpx._config"}),
        (
            cycle,
            {
                "a": "from kling_batch.b import x",
                "b": "def f():\n    from kling_batch import c",
                "c": "import kling_batch.a",
            },
        ),
        (cycle, {"a": "from kling_batch import b", "b": "if TYPE_CHECKING:\n    from kling_batch import a"}),
    ],
)
def test_a_breach_is_found(
    check: Callable[[Any], list[str]], modules: dict[str, str], package: Callable[..., Path], imports_of: Any
) -> None:
    """The checks above see an import wherever it stands: in a function, a branch, or for types."""
    assert check(imports_of(package(modules)))


@pytest.mark.parametrize(
    ("check", "modules"),
    [
        (
            upward,
            {
                "running/a": "from kling_batch.records import store",
                "records/store": "from kling_batch import model",
                "model": "",
            },
        ),
        (upward, {"events": "from kling_batch.model import Status", "model": ""}),
        (past_the_door, {"api/access": "if typing.TYPE_CHECKING:\n    import httpx"}),
    ],
)
def test_what_is_allowed_is_not_found(
    check: Callable[[Any], list[str]], modules: dict[str, str], package: Callable[..., Path], imports_of: Any
) -> None:
    """Downward, among the ground's, and for types at a door."""
    assert check(imports_of(package(modules))) == []
