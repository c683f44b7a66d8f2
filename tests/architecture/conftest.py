"""Who imports whom, read from the source and not from memory."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True)
class Import:
    """An import of `target` by `module`. `for_types` means that it does not happen at run time."""

    module: str
    target: str
    line: int
    for_types: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


Imports = Callable[[Path], list[Import]]


def _modules(package: Path) -> dict[str, Path]:
    """Name every module of a package."""
    names = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def _walk(node: ast.AST, *, for_types: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Find every import statement, also inside functions, and whether it stands under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, for_types
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), for_types=True)
            yield from _walk(ast.Module(child.orelse, []), for_types=for_types)
        else:
            yield from _walk(child, for_types=for_types)


def _targets(statement: ast.stmt, known: dict[str, Path]) -> list[str]:
    """Name what a statement imports: a module where the name is one, else the module that holds the name."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert isinstance(statement, ast.ImportFrom)
    assert statement.module is not None, "a relative import: write the whole name"
    whole = [f"{statement.module}.{alias.name}" for alias in statement.names]
    return sorted({name if name in known else statement.module for name in whole})


@pytest.fixture(scope="session")
def imports_of() -> Imports:
    """List every import of a package, its modules named from the package on."""

    def read(package: Path) -> list[Import]:
        known = _modules(package)
        return [
            Import(module=name, target=target, line=statement.lineno, for_types=for_types)
            for name, path in sorted(known.items())
            for statement, for_types in _walk(ast.parse(path.read_text(encoding="utf-8")))
            for target in _targets(statement, known)
        ]

    return read


@pytest.fixture(scope="session")
def imports(imports_of: Imports, request: pytest.FixtureRequest) -> list[Import]:
    """List every import of the program."""
    return imports_of(request.config.rootpath / "kling_batch")


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Write a package from the source of each module, named by its path."""

    def write(modules: dict[str, str]) -> Path:
        folder = tmp_path / "kling_batch"
        for name, source in modules.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return folder

    return write
