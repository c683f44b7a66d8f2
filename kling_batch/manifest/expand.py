"""Entries to jobs to takes: the matrix, the templates, and what must be unlike across a whole manifest."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from math import prod
from re import compile as regex
from typing import Any, NamedTuple

from kling_batch.catalog import Kind, kind
from kling_batch.catalog.finish import sounds_of
from kling_batch.catalog.manifest import manifest_schema
from kling_batch.catalog.paths import filled, folded, path_problem
from kling_batch.errors import MOST_PROBLEMS
from kling_batch.manifest.check import Checker, refusal
from kling_batch.manifest.finishing import Flaw, Said, checks_of, flaws_of, recipe_of
from kling_batch.manifest.inputs import Inputs
from kling_batch.manifest.messages import near, shown
from kling_batch.manifest.nodes import ListNode, MapNode, Node, Page
from kling_batch.manifest.settings import PathTemplate, Settings
from kling_batch.manifest.templates import Template, TemplateError, parse, slug
from kling_batch.model import ANY_FORMAT, SOURCES, InputFile, Job, Source, Take

MAX_TAKES = 1_000_000
"""How many takes a manifest may ask for. More is a slip of the finger, refused before it fills the memory."""

_ID = regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALWAYS = frozenset({"id", "take", "project", "format"})
_SOURCES = f"{SOURCES}/"


class _Entry(NamedTuple):
    """An entry of `jobs` or a row, checked. `wrong` names its fields that cannot be used."""

    data: Mapping[str, Any]
    wrong: Collection[str]
    node: MapNode
    page: Page
    settings: Settings
    finishing: _Finishing

    @property
    def kind(self) -> Kind:
        """What is asked for."""
        return kind(self.settings.kind)

    def at(self, name: str) -> int:
        """Where a field's value stands."""
        return self.node.items[name].at if name in self.node.items else self.node.at


class _Finishing(NamedTuple):
    """How the sounds of a job are finished, what is looked for in them, and which of its formats stay as delivered."""

    recipe: Mapping[str, Any] = {}
    checks: Mapping[str, Mapping[str, Any]] = {}
    as_delivered: tuple[str, ...] = ()
    flaws: tuple[Flaw, ...] = ()


class _Words(NamedTuple):
    """The texts of one job, with its place in the matrix filled in."""

    id: str
    fields: Mapping[str, Any]
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    slugs: Mapping[str, str] = {}
    values: Mapping[str, str] = {}


class Expansion:
    """Takes entries one by one and makes their jobs and takes. What is wrong is told to the entry's page."""

    def __init__(self, project: str, inputs: Inputs, *, flatten: bool) -> None:
        self.jobs: list[Job] = []
        self.takes: list[Take] = []
        self.project = project
        self._inputs = inputs
        self._flatten = flatten
        self._checkers: dict[str, Checker] = {}
        self._ids: dict[str, tuple[Source, Mapping[str, str]]] = {}
        self._files: dict[str, Take] = {}
        self._plain_names: list[tuple[Job, Page, int]] = []
        self._among_sources: list[tuple[str, Page, int]] = []
        self._finishings: dict[tuple[Said, Said, tuple[str, ...]], _Finishing] = {}
        self._told: set[tuple[str, int, str]] = set()
        self._asked = 0
        self.passed_over = 0

    def add(self, node: Node, page: Page, settings: Settings, *, excused: frozenset[str] = frozenset()) -> None:
        """Take one entry: check it by the schema, then make what it asks for. For `excused` see `Checker.check`."""
        if len(page.problems) >= MOST_PROBLEMS:
            self.passed_over += 1
            return
        of_kind = settings.kind_at(node)
        if of_kind not in self._checkers:
            self._checkers[of_kind] = Checker("job", of_kind)
        data, wrong = self._checkers[of_kind].check(node, page, excused=excused)
        if not isinstance(node, MapNode) or wrong & {"kind", "matrix"}:
            return
        settings = settings.under(data, wrong, node, page)
        finishing = self._finishing(settings)
        entry = _Entry(data=data, wrong=wrong, node=node, page=page, settings=settings, finishing=finishing)
        if "formats" not in wrong:
            _tell_of_decoders(entry)
            self._tell_of_finishing(entry)
        matrix = data.get("matrix")
        if not self._within_bounds(entry, prod(map(len, matrix.values())) if matrix else 1):
            return
        if matrix is None:
            self._add_job(entry, _plain_words(entry))
        else:
            for words in _combinations(entry, matrix):
                self._add_job(entry, words)

    def _finishing(self, settings: Settings) -> _Finishing:
        """Make the recipe and the checks of a job: once for all jobs for which the same is said."""
        key = settings.finish, settings.check, settings.formats
        if key not in self._finishings:
            sounds = sounds_of(settings.formats)
            recipe = recipe_of(settings.finish, sounds)
            others = tuple(name for name in settings.formats if name not in sounds) if recipe else ()
            flaws = tuple(flaws_of(settings.finish, recipe))
            self._finishings[key] = _Finishing(recipe, checks_of(settings.check), others, flaws)
        return self._finishings[key]

    def _tell_of_finishing(self, entry: _Entry) -> None:
        """Tell of what a recipe cannot make, once for each place that says it."""
        flaws = entry.finishing.flaws
        if entry.finishing.as_delivered == entry.settings.formats:
            words = "there is no sound among the job's `formats` that `finish` could finish"
            flaws = (Flaw(entry.page, entry.at("formats"), f"{words}; add one, or write `finish: off`"),)
        for page, at, words in flaws:
            self._tell_once(page, at, words, words)

    def _tell_once(self, page: Page, at: int, what: str, words: str) -> None:
        if (page.path, at, what) not in self._told:
            page.tell(at, words)
        self._told.add((page.path, at, what))

    def _within_bounds(self, entry: _Entry, jobs: int) -> bool:
        before = self._asked
        self._asked += jobs * entry.settings.takes
        if before <= MAX_TAKES < self._asked:
            entry.page.tell(
                entry.node.at,
                f"with this job the manifest asks for {self._asked:,} takes; at most {MAX_TAKES:,} are allowed",
            )
        return self._asked <= MAX_TAKES

    def _add_job(self, entry: _Entry, words: _Words) -> None:
        source = entry.page.source(entry.node.at)
        if "id" not in entry.wrong and not self._claim_id(entry, words, source):
            return
        settings = entry.settings
        named = "id" not in entry.wrong
        request = _request(entry, words)
        inputs = tuple(self._handed_over(entry, request))
        job = Job(
            project=self.project,
            id=words.id,
            kind=settings.kind,
            request=request,
            takes=settings.takes,
            edition=settings.edition,
            formats=settings.formats,
            file=settings.file.template.text if settings.file else "",
            tags=words.tags,
            meta=words.meta,
            inputs=inputs,
            finish=entry.finishing.recipe,
            check=entry.finishing.checks,
            as_delivered=entry.finishing.as_delivered,
            picked_stem=words.id if named and not path_problem(words.id) else "",
            source=source,
        )
        if named and settings.picked and settings.picked.page:
            written, page = settings.picked, settings.picked.page
            stem = next(self._stems("picked", written, job, words, (page, written.at), [0]), "")
            job = replace(job, picked_stem=stem)
            if stem:
                self._plain_names.append((job, entry.page, entry.at("picked")))
        self.jobs.append(job)
        if named and settings.file is not None:
            self._add_takes(entry, job, words, settings.file)

    def _handed_over(self, entry: _Entry, request: dict[str, Any]) -> Iterator[InputFile]:
        """Read the files that a job hands over, and put their content in place of their paths."""
        for name, wanted in entry.kind.inputs.items():
            if name in request:
                match self._inputs.read(request[name], wanted):
                    case InputFile() as file:
                        request[name] = file.identity
                        yield file
                    case words:
                        entry.page.tell(entry.at(name), f"`{name}`: {words}")

    def _claim_id(self, entry: _Entry, words: _Words, source: Source) -> bool:
        """Note that an id is in use; tell, and say no, when it is so already or cannot be one."""
        at = entry.at("id")
        if words.values and not _ID.fullmatch(words.id):
            job = manifest_schema()["definitions"][entry.settings.kind]["job"]
            allowed = job["else"]["properties"]["id"]["patternErrorMessage"]
            entry.page.tell(at, f"{_with(words.values)} makes the id {shown(words.id)}; wanted is {allowed}")
            return False
        first = self._ids.setdefault(words.id, (source, words.values))
        if first[0] is source:
            return True
        entry.page.tell(at, _same_id(words, *first, source))
        return False

    def _add_takes(self, entry: _Entry, job: Job, words: _Words, file: PathTemplate) -> None:
        place = (entry.page, entry.node.at) if file.page is None else (file.page, file.at)
        for number, stem in enumerate(self._stems("file", file, job, words, place, range(1, job.takes + 1)), 1):
            take = Take(job=job, number=number, edition=job.edition, stem=stem)
            for name in filled(stem, job):
                first = self._files.setdefault(folded(name), take)
                if first is not take:
                    entry.page.tell(entry.at("file"), _same_path(take, first, name))
                    return
            if folded(stem).startswith(_SOURCES):
                self._among_sources.append((stem, entry.page, entry.at("file")))
            self.takes.append(take)

    def _stems(
        self, field: str, path: PathTemplate, job: Job, words: _Words, place: tuple[Page, int], numbers: Iterable[int]
    ) -> Iterator[str]:
        """Fill in a path for takes; end at what can be none. What is wrong with a template is told once."""
        page, at = place
        values = _path_values(self.project, words, path.template)
        known = [*values, "take"] if field == "file" else values
        for name in path.template.names:
            if name not in known:
                page.tell(at, f"`{field}`: {_unknown_hole(name, known)} in the job `{words.id}`")
                return
        by_format = "format" in path.template.names and ANY_FORMAT not in path.template.text
        for number in numbers:
            stem = unicodedata.normalize("NFC", path.template.render(values, take=number))
            stem = stem.replace("/", "_") if self._flatten else stem
            for name in filled(stem, job) if by_format else (stem,):
                if problem := path_problem(name):
                    said = f"`{field}` makes the path {shown(name)} (job `{words.id}`): {problem}"
                    self._tell_once(page, at, problem, said)
                    return
            yield stem

    def finish(self) -> None:
        """Tell of paths that are those of other files, as far as every job has to be known for it."""
        for path, page, at in self._among_sources if any(job.finish for job in self.jobs) else ():
            where = f"`{_SOURCES}` is where sounds are kept as they were delivered"
            page.tell(at, f"`file` makes the path {shown(path)}, and {where}; name the folder otherwise")
        jobs: dict[str, Job] = {}
        for job, page, at in self._plain_names:
            for stem in filled(job.picked_stem, job):
                first = jobs.setdefault(folded(stem), job)
                there = self._files.get(folded(stem))
                if there is not None and not _is_own(job, there):
                    where = f"take {there.number} of `{there.job.id}` has"
                elif first is not job:
                    where = f"`{first.id}` has too; put `{{id}}` into `picked`"
                else:
                    continue
                page.tell(at, f"`picked` of `{job.id}` makes the path {shown(stem)}, which {where}")
                break


def _is_own(job: Job, take: Take) -> bool:
    """Whether a job's plain name may be that of a take: of its only one."""
    return take.job is job and job.takes == 1 and folded(take.stem) == folded(job.picked_stem)


def _request(entry: _Entry, words: _Words) -> dict[str, Any]:
    """Make what is sent, and tell of what is lacking: a field may stand in the job, its table or the defaults."""
    of_kind, said = entry.kind, words.fields
    for name in sorted(of_kind.required - said.keys() - {of_kind.words, *entry.wrong}):
        entry.page.tell(entry.node.at, f"`{name}` is missing: {of_kind.fields[name].get('title', '')}")
    given = [name for name in of_kind.one_of if name in said]
    if of_kind.one_of and len(given) != 1 and not {*entry.wrong} & {*of_kind.one_of}:
        entry.page.tell(entry.node.at, _exactly_one(of_kind.one_of, given))
    return {name: said[name] for name in of_kind.fields if name in said}


def _tell_of_decoders(entry: _Entry) -> None:
    """Tell of formats that nothing here can decode: their files could not be verified."""
    for name in entry.settings.formats:
        output = entry.kind.outputs[name]
        if output.module and find_spec(output.module) is None:
            words = f"`{name}` is decoded by the extra `{output.extra}`, which is not installed"
            entry.page.tell(entry.at("formats"), f"{words}: pip install 'kling-batch[{output.extra}]'")


def _exactly_one(names: Sequence[str], given: Sequence[str]) -> str:
    wanted = f"exactly one of {', '.join(f'`{name}`' for name in names)}"
    return f"{wanted} is wanted, not {' and '.join(f'`{name}`' for name in given)}" if given else f"{wanted} is missing"


def _plain_words(entry: _Entry) -> _Words:
    settings = entry.settings
    job_id = entry.data.get("id", "") if "id" not in entry.wrong else ""
    return _Words(id=job_id, fields=settings.fields, tags=settings.tags, meta=settings.meta)


def _combinations(entry: _Entry, matrix: Mapping[str, list[str]]) -> Iterator[_Words]:
    """Fill the entry's templates with every combination, the last name changing fastest."""
    words, names, told = _plain_words(entry), frozenset(matrix), len(entry.page.problems)
    with_meta = names | {f"meta.{name}" for name in words.meta}
    slugs = _slugs(entry, matrix)
    id_template = _template(entry, "id", words.id, names)
    texts = [name for name in words.fields if name in entry.kind.texts]
    templates = {name: _template(entry, name, words.fields[name], with_meta) for name in texts}
    tag_templates = [_template(entry, "tags", text, with_meta) for text in words.tags]
    meta_templates = {name: _template(entry, "meta", text, names) for name, text in words.meta.items()}
    if len(entry.page.problems) > told:
        return
    checked: set[tuple[str, str]] = set()
    for combination in product(*matrix.values()):
        values = dict(zip(matrix, combination, strict=True))
        own_slugs = {name: slugs[value] for name, value in values.items()}
        meta = {name: template.render(values) for name, template in meta_templates.items()}
        scope = values | {f"meta.{name}": text for name, text in meta.items()}
        filled = {name: template.render(scope) for name, template in templates.items()}
        for name, text in filled.items():
            if (name, text) not in checked and (problem := refusal(entry.kind.fields[name], text)):
                entry.page.tell(entry.at(name), f"{_with(values)} makes `{name}` {problem}")
        checked.update(filled.items())
        yield _Words(
            id=id_template.render(own_slugs),
            fields={**words.fields, **filled},
            tags=tuple(dict.fromkeys(template.render(scope) for template in tag_templates)),
            meta=meta,
            slugs=own_slugs,
            values=values,
        )


def _slugs(entry: _Entry, matrix: Mapping[str, list[str]]) -> dict[str, str]:
    """Make every value of a matrix a slug, and tell where nothing is left of one."""
    slugs = {value: slug(value) for values in matrix.values() for value in values}
    node = entry.node.items["matrix"]
    for name, values in matrix.items():
        listing = node.items[name] if isinstance(node, MapNode) else node
        for index, value in enumerate(values):
            if not slugs[value] and isinstance(listing, ListNode):
                entry.page.tell(
                    listing.items[index].at,
                    f"nothing of {shown(value)} can stand in an id or a path; name it in letters or digits",
                )
    return slugs


def _template(entry: _Entry, field: str, text: str, names: frozenset[str]) -> Template:
    """Read a template of an entry with a matrix, and tell what is wrong with it."""
    try:
        template = parse(text)
    except TemplateError as error:
        entry.page.tell(entry.at(field), f"`{field}`: {error}")
        return Template(text=text, literals=(text,), names=())
    for name in template.names:
        if name not in names:
            words = _unknown_hole(name, names, sent=field in entry.kind.fields)
            entry.page.tell(entry.at(field), f"`{field}`: {words}")
    return template


def _unknown_hole(name: str, known: Collection[str], *, sent: bool = False) -> str:
    said = f"`{{{name}}}` stands for nothing"
    if name in _ALWAYS and name not in known:
        return f"{said} here; it can be used in `file` alone"
    meant = f"meta.{name}" if f"meta.{name}" in known else near(name, known)
    hint = f"; did you mean `{{{meant}}}`?" if meant else ""
    repair = f"; give it values in `matrix`, or write `{{{{{name}}}}}` to have the braces themselves"
    return f"{said}{hint} (known: {', '.join(sorted(known))}){repair if sent and not meant else ''}"


def _path_values(project: str, words: _Words, template: Template) -> Mapping[str, str]:
    """Give what a path's template may use; the rest is only worked out for templates that ask for more."""
    always = {"id": words.id, "project": project, "format": ANY_FORMAT}
    if _ALWAYS.issuperset(template.names):
        return always
    return {**{f"meta.{name}": slug(text) for name, text in words.meta.items()}, **words.slugs, **always}


def _with(values: Mapping[str, str]) -> str:
    return "the combination " + ", ".join(f"{name}={value}" for name, value in values.items())


def _same_id(words: _Words, first: Source, first_values: Mapping[str, str], source: Source) -> str:
    said = f"the id `{words.id}` is already used at {first}"
    if first != source or not words.values:
        return said
    differing = [name for name, value in words.values.items() if first_values[name] != value]
    holes = " and ".join(f"`{{{name}}}`" for name in differing)
    return (
        f"{_with(first_values)} and {_with(words.values)} make the same id `{words.id}`; "
        f"put {holes} into `id`, and give values that differ in letters or digits"
    )


def _same_path(take: Take, first: Take, stem: str) -> str:
    if take.job is first.job:
        return (
            f"takes {first.number} and {take.number} of `{take.job.id}` have the same path {shown(stem)}; "
            "put `{take}` or `{take:02}` into `file`"
        )
    return (
        f"take {take.number} of `{take.job.id}` has the path {shown(stem)}, as take {first.number} of "
        f"`{first.job.id}` at {first.job.source} has "
        "(large and small letters are the same file on many machines); put `{id}` into `file`"
    )
