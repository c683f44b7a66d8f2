"""The way from a file to a manifest."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from re import compile as regex
from typing import Any

from kling_batch.catalog import kinds
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.errors import ManifestInvalid, UsageError
from kling_batch.manifest.check import Checker
from kling_batch.manifest.expand import Expansion
from kling_batch.manifest.inputs import Inputs
from kling_batch.manifest.nodes import Document, ListNode, MapNode, Scalar
from kling_batch.manifest.reading import form_of, read_document
from kling_batch.manifest.settings import OfKind, Settings, settings_of
from kling_batch.manifest.spreadsheet import NoSheet
from kling_batch.manifest.tables import Columns, rows
from kling_batch.manifest.templates import slug
from kling_batch.model import Manifest

_PROJECT = regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load(path: Path, *, project: str | None = None, allow_outside: bool = False, flatten: bool = False) -> Manifest:
    """Read a manifest, check it, and work out its jobs and takes.

    Args:
        path: A .yaml, .json, .jsonl, .csv, .xlsx or .ods file. Messages call it as it is given here.
        project: What to use for the manifest's `project`. A table names none of its own; without
            this it is the file's name.
        allow_outside: Whether it, or a table that it names, may be outside of its folder: by `..`, or as a link.
        flatten: Whether all files stand in one folder: `a/b` becomes `a_b`.

    Raises:
        ManifestInvalid: It has problems, in itself or in a table that it names: all of them are in the error.
        UsageError: It is missing or unreadable, its extension is not known, or `project` is no project's name.
    """
    if project is not None and not _PROJECT.fullmatch(project):
        wanted = manifest_schema()["properties"]["project"]["patternErrorMessage"]
        raise UsageError(f"`{project}` cannot be a project's name", hint=f"Wanted is: {wanted}.")
    form = form_of(path)
    stay_in = None if allow_outside else path.parent
    document = read_document(path, shown=str(path), stay_in=stay_in)
    if form in {"csv", "jsonl", "workbook"}:
        return _Loading(document, path, stay_in, flatten=flatten).table(project or project_of(path))
    return _Loading(document, path, stay_in, flatten=flatten).whole(project)


def project_of(path: Path) -> str:
    """Give the project of a table that names none: its file's name.

    Raises:
        UsageError: No project's name can be made of it.
    """
    name = path.stem if _PROJECT.fullmatch(path.stem) else slug(path.stem)
    if not _PROJECT.fullmatch(name):
        raise UsageError(
            f"{path}: no project's name can be made of the file's name", hint="Give one with --project NAME."
        )
    return name


class _Loading:
    """One manifest on its way. `_pages` are the files read so far, each with its problems; `_sources` their hashes."""

    def __init__(self, document: Document, path: Path, stay_in: Path | None, *, flatten: bool) -> None:
        self._document = document
        self._path = path
        self._stay_in = stay_in
        self._flatten = flatten
        self._inputs = Inputs(path.parent, stay_in)
        self._pages = [document.page]
        self._sources = {str(path): document.sha256}

    def table(self, project: str) -> Manifest:
        """Take every row as a job."""
        expansion = Expansion(project, self._inputs, flatten=self._flatten)
        _add_rows(self._document, None, settings_of(), expansion)
        if not self._document.page.problems and not expansion.jobs:
            self._document.page.tell(self._document.start, "there is no job in this file; write one a row")
        return self._manifest(expansion, None)

    def whole(self, project: str | None) -> Manifest:
        """Take the file as `version`, `project`, `defaults`, `limits` and `jobs`."""
        page, root = self._document.page, self._document.content
        if not isinstance(root, MapNode):
            page.tell(self._document.start, "this is no manifest; wanted are fields: `version`, `project`, `jobs`")
            raise ManifestInvalid(page.problems)
        if project is not None:
            root.items["project"] = Scalar(project, project, root.at)
        data, wrong = Checker().check(_head(root), page)
        settings = settings_of()
        if isinstance(defaults := root.items.get("defaults"), MapNode):
            settings = self._defaults(defaults, settings)
        expansion = Expansion("" if "project" in wrong else data["project"], self._inputs, flatten=self._flatten)
        jobs = root.items.get("jobs")
        for entry in jobs.items if isinstance(jobs, ListNode) else ():
            if isinstance(entry, MapNode) and "from" in entry.items:
                self._rows_of(entry, settings, expansion)
            else:
                expansion.add(entry, page, settings)
        return self._manifest(expansion, _concurrency(data, wrong))

    def _defaults(self, node: MapNode, settings: Settings) -> Settings:
        page = self._document.page
        data, wrong = Checker("defaults", settings.kind_at(node)).check(node, page)
        of_kinds = {
            name: OfKind(data[name], own, page)
            for name, own in node.items.items()
            if name in kinds() and name not in wrong and isinstance(own, MapNode)
        }
        return settings.under(data, wrong, node, page)._replace(of_kinds=of_kinds).with_own()

    def _rows_of(self, entry: MapNode, settings: Settings, expansion: Expansion) -> None:
        """Take the rows of the table that an entry names."""
        page = self._document.page
        data, wrong = Checker("from", settings.kind_at(entry)).check(entry, page)
        if "from" in wrong:
            return
        settings = settings.under(data, wrong, entry, page)
        table = self._table(entry, data["from"], "" if "sheet" in wrong else data.get("sheet", ""))
        if table is None or "columns" in wrong:
            return
        columns = None
        if isinstance(node := entry.items.get("columns"), MapNode):
            columns = Columns(names=data["columns"], node=node, page=page)
        before = len(table.page.problems)
        count = len(expansion.jobs)
        _add_rows(table, columns, settings, expansion)
        if len(table.page.problems) == before == 0 and len(expansion.jobs) == count:
            page.tell(entry.items["from"].at, f"there is no row in {table.page.path}")

    def _table(self, entry: MapNode, name: str, sheet: str) -> Document | None:
        page, at = self._document.page, entry.items["from"].at
        if name.startswith(("/", "~")) or PureWindowsPath(name).drive:
            page.tell(at, f"`from` is the path {name}; write it relative to this manifest, so that it works everywhere")
            return None
        path = self._path.parent / name
        try:
            document = read_document(path, shown=str(path), stay_in=self._stay_in, sheet=sheet)
        except ManifestInvalid as error:
            page.problems.extend(error.problems)
            return None
        except NoSheet as error:
            page.tell(entry.items["sheet"].at, f"{path}: {error}")
            return None
        except UsageError as error:
            page.tell(at, f"`from`: {error.message}. {error.hint}")
            return None
        self._pages.append(document.page)
        self._sources[str(path)] = document.sha256
        return document

    def _manifest(self, expansion: Expansion, concurrency: int | None) -> Manifest:
        expansion.finish()
        problems = [problem for page in self._pages for problem in page.problems]
        if problems:
            raise ManifestInvalid(problems, left_out=expansion.passed_over)
        return Manifest(
            path=str(self._path),
            project=expansion.project,
            jobs=tuple(expansion.jobs),
            takes=tuple(expansion.takes),
            concurrency=concurrency,
            sources=self._sources,
        )


def _add_rows(table: Document, columns: Columns | None, settings: Settings, expansion: Expansion) -> None:
    nodes, excused = rows(table, columns, settings.kind)
    for row in nodes:
        expansion.add(row, table.page, settings, excused=excused)


def _head(root: MapNode) -> MapNode:
    """Leave out what stands in `defaults` and `jobs`: that is checked part by part."""
    items = dict(root.items)
    if isinstance(defaults := items.get("defaults"), MapNode):
        items["defaults"] = MapNode({}, {}, defaults.at)
    if isinstance(jobs := items.get("jobs"), ListNode):
        items["jobs"] = ListNode([Scalar(None, "", jobs.at)] if jobs.items else [], jobs.at)
    return MapNode(items, root.keys, root.at)


def _concurrency(data: Any, wrong: frozenset[str]) -> int | None:
    value = "auto" if "limits" in wrong else data.get("limits", {}).get("concurrency", "auto")
    return None if value == "auto" else int(value)
