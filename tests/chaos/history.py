"""What a seed stands for: a manifest, a service with its moods and faults, and the lives of a program that dies."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from kling_batch.catalog import Kind, kind
from kling_batch.model import Job, Manifest, Source, Take
from kling_batch.sandbox.faults import ALL_CALLS, API_CALLS, Call, Effect, Rule
from kling_batch.sandbox.settings import Behaviour, Callbacks, Span, WorldSettings

SAMPLE_RATE = 8_000
_DURATIONS = (3.0, 3.3, 4.1, 5.0, 6.7, 10.0)
_FORMATS = (("wav",), ("mp3",), ("wav", "mp3"), ("mp3", "wav"))
_CREATE = frozenset({Call.CREATE})
_READS = frozenset({Call.QUERY, Call.LIST})
_DOWNLOAD = frozenset({Call.DOWNLOAD})
_SHORT_WAY = Span.fixed(0.05)
_QUICK = Span.fixed(0.005)
_PRICE = Decimal("0.25")
_RISEN = Decimal("1.50")
_KINDS = (
    *("text-to-audio",) * 4,
    *("text-to-speech",) * 4,
    *("video-to-audio",) * 2,
    "voice-clone",
)
_VIDEO_FORMATS = (("wav",), ("mp3", "wav"), ("wav",), ("wav", "mp4"))
RECIPES: tuple[Mapping[str, Any], ...] = (
    {},
    {"fade": {"in": 0.01, "out": 0.05}, "formats": ["wav"]},
    {"trim": {"below": -60.0, "keep": 0.05}, "loudness": -18.0, "true_peak": -1.0, "formats": ["flac"]},
    {"peak": -3.0, "true_peak": -1.0, "channels": 1, "formats": ["wav", "ogg"]},
)
_CHECKS: tuple[Mapping[str, Any], ...] = (
    {},
    {"silent": {"below": -60.0, "then": "fail"}},
    {"quiet": {"below": -1.0, "then": "warn"}, "clipped": {"over": 0.0, "then": "fail"}},
    {"quiet": {"below": -1.0, "then": "fail"}},
)
"""Those that all sounds pass, that warn of all, and that reject all."""
_FINISHED = 0.35
_SOUNDS_ALONE = 0.25
_RIGHTS = 0.75
_CALLS_BACK = 0.25
_WEBHOOK_SECRET = "whsec_" + "c2FuZGJveA=="
RISK = "Failure to pass the risk control system"


class End(StrEnum):
    """How a life of the program ends."""

    EFFECT = "killed at an effect"
    MOMENT = "killed at a moment"
    SIGNAL = "asked to stop"
    DEADLINE = "deadline"
    DISK_FULL = "disk full from an effect on"
    ITSELF = "by itself"


class Kept(StrEnum):
    """What of its state the next life finds."""

    ALL = "all"
    NOTHING = "nothing"
    LOCK = "lock"
    STORE = "store"
    LOCK_AND_STORE = "lock and store"
    LOCK_AND_FILES = "lock and files"
    OLDER = "the folder as it was before this life"
    WITHOUT_LOG = "a journal without its log"


class Place(StrEnum):
    """Where a life of the program works."""

    FOLDER = "the folder"
    SECOND_FOLDER = "a second folder of the machine"
    MACHINE = "another machine"


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """One start of the program. `at` is the number of an effect, or seconds after the start.

    Only one of `every` takes is selected, and the others are left as they are. With `power_cut`, what was not made to
    last is lost or torn as well. `pause_s` passes before the next life. `asked_at` is the effect of the life before at
    which this one makes its plan and asks; it is told yes when that has ended. None: it was agreed beforehand.
    `colleague_at` is the effect at which somebody else puts an entry into the lock. `rotated` has another key of the
    same account. Where no task is known, or the account is too silent, nothing is done with it. Without `rights` nobody
    said who agrees to the cloning of voices.
    """

    end: End
    at: float = 0.0
    every: int = 1
    kept: Kept = Kept.ALL
    power_cut: bool = False
    pause_s: float = 0.0
    place: Place = Place.FOLDER
    asked_at: int | None = None
    colleague_at: int | None = None
    rotated: bool = False
    rights: bool = True

    def takes(self, manifest: Manifest) -> tuple[Take, ...]:
        """Give the takes that this life is about."""
        return manifest.takes[:: self.every]

    def selected(self, manifest: Manifest) -> tuple[str, ...]:
        """Give the expressions that choose these takes; none means all."""
        takes = self.takes(manifest)
        return () if takes == manifest.takes else tuple(str(take.key) for take in takes)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Everything that a seed decides before the first instant.

    `others` are tasks that other programs made on the account before. Where `calls_back` holds, the service tells of
    tasks unasked. `way_s` is how long a call takes to the
    service; a share `lingering` of the create calls takes longer than the settle time, and their answers are lost.
    """

    seed: int
    manifest: Manifest
    settings: WorldSettings
    rules: tuple[Rule, ...] = ()
    lives: tuple[Life, ...] = ()
    others: int = 0
    way_s: Span = _SHORT_WAY
    lingering: float = 0.0
    commit_s: Span = _QUICK
    concurrency: int | None = None
    max_units: Decimal | None = None
    poll_interval_s: float = 1.0
    settle_time_s: float = 20.0
    patience_s: float = 900.0
    retries: int = 2
    hold_unclear: bool = False
    unproven: bool = False
    intrudes: bool = False
    writes_reports: bool = False
    calls_back: bool = False
    keeps_sources: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of what is asked for."""
        return tuple(kind(name) for name in dict.fromkeys(job.kind for job in self.manifest.jobs))

    @property
    def keeps_all(self) -> bool:
        """Whether one journal sees everything, from the first life to the last."""
        return all(life.kept is Kept.ALL and life.place is Place.FOLDER for life in self.lives)

    @property
    def deaf(self) -> bool:
        """Whether the query shows no task by its external id, so that at most the list can be heard."""
        behaviour = self.settings.behaviour
        names_late = behaviour.external_ids_shown in {"never", "when-finished"}
        names_nobody = names_late and behaviour.unknown_id == "other-task"
        return names_nobody or not behaviour.query_by_external_id

    @property
    def silent(self) -> bool:
        """Whether neither the query nor a list that can be relied on shows tasks by their external ids."""
        behaviour = self.settings.behaviour
        honest = behaviour.list_scope == "account" and behaviour.list_cut is None and behaviour.list_window_s is None
        prompt = behaviour.list_shows_unfinished and behaviour.external_ids_shown == "always"
        return self.deaf and not (honest and prompt)

    @property
    def switches(self) -> frozenset[str]:
        """Name what this history uses of all that a seed can draw: habits of the service, faults, ends and places."""
        behaviour, usual = self.settings.behaviour, Behaviour()
        names = [
            field.name for field in fields(Behaviour) if getattr(behaviour, field.name) != getattr(usual, field.name)
        ]
        names += [f"fault {rule.effect.name}" for rule in self.rules]
        names += [f"{word} kept" for word in {life.kept for life in self.lives} - {Kept.ALL}]
        names += [str(word) for life in self.lives for word in (life.end, life.place)]
        names += ["asked before the folder is held"] * any(life.asked_at is not None for life in self.lives)
        names += ["another key"] * any(life.rotated for life in self.lives)
        names += ["a colleague writes the lock"] * any(life.colleague_at is not None for life in self.lives)
        names += ["no rights given"] * any(not life.rights for life in self.lives)
        names += [f"kind {kind.name}" for kind in self.kinds]
        names += [f"{part} of a sound" for job in self.manifest.jobs for part in job.recipe]
        if self.calls_back:
            told, habits = self.settings.callbacks, Callbacks()
            names += [
                f"callbacks {each.name}"
                for each in fields(Callbacks)
                if getattr(told, each.name) != getattr(habits, each.name)
            ]
        return frozenset(names)


def draw(seed: int) -> History:
    """Draw a history. The same seed gives the same one."""
    return _with_callbacks(with_recipes(with_kinds(draw_sounds(seed))))


def with_kinds(history: History) -> History:
    """Have jobs of a history ask for any kind; every fourth history is left as it is."""
    rng = random.Random(f"kinds {history.seed}")
    if rng.random() < _SOUNDS_ALONE:
        return history
    jobs = [of_kind(rng.choice(_KINDS), job, video_formats=rng.choice(_VIDEO_FORMATS)) for job in history.manifest.jobs]
    speech_format: Literal["mp3", "wav"] = rng.choice(("mp3", "mp3", "wav"))
    settings = replace(history.settings, speech_format=speech_format, video_s=rng.choice((3.0, 4.2)))
    lives = tuple(replace(life, rights=rng.random() < _RIGHTS) for life in history.lives)
    lives = lives if any(kind(job.kind).rights for job in jobs) else history.lives
    return replace(history, manifest=manifest_of(history.manifest.project, jobs), settings=settings, lives=lives)


def of_kind(name: str, job: Job, *, video_formats: tuple[str, ...] = ("wav",)) -> Job:
    """Have a job of sounds ask for another kind: its words are its own, so that the books know it by them."""
    words = f"{job.id} of {job.project}"
    requests: dict[str, dict[str, Any]] = {
        "text-to-audio": dict(job.request),
        "text-to-speech": {"text": words, "voice_id": "oversea_male1", "voice_language": "en", "voice_speed": 1.0},
        "video-to-audio": {"video_id": "812345678901234567", "sound_effect_prompt": words},
        "voice-clone": {"voice_name": job.id, "voice_url": "https://example.com/voice.wav"},
    }
    formats = {"text-to-audio": job.formats, "video-to-audio": video_formats}
    return replace(job, kind=name, request=requests[name], formats=formats.get(name, ("mp3",)))


def with_recipes(history: History) -> History:
    """Have half of the jobs of every third history be finished by recipes, and looked at with checks."""
    rng = random.Random(f"recipes {history.seed}")
    if rng.random() >= _FINISHED:
        return history
    jobs = [_with_recipe(job, rng) if rng.random() < 0.5 else job for job in history.manifest.jobs]
    return replace(history, manifest=manifest_of(history.manifest.project, jobs), keeps_sources=rng.random() < 0.3)


def _with_recipe(job: Job, rng: random.Random) -> Job:
    if kind(job.kind).rights:
        return job
    return replace(job, finish=rng.choice(RECIPES), check=rng.choice(_CHECKS))


def _with_callbacks(history: History) -> History:
    """Have the service call back in every fourth history: signed or not, late, lost, doubled and forged."""
    rng = random.Random(f"callbacks {history.seed}")
    if rng.random() >= _CALLS_BACK:
        return history
    states: Literal["all", "ended"] = rng.choice(("all", "ended"))
    callbacks = Callbacks(
        secrets=rng.choice(((), (_WEBHOOK_SECRET,))),
        states=states,
        results=rng.random() < 0.7,
        late=rng.choice((Span.fixed(0.0), Span(low=0.0, high=3.0), Span(low=0.0, high=90.0))),
        lost=rng.choice((0.0, 0.0, 0.2, 1.0)),
        doubled=rng.choice((0.0, 0.2)),
        forged=rng.choice((0.0, 0.0, 0.3)),
    )
    return replace(history, settings=replace(history.settings, callbacks=callbacks), calls_back=True)


def draw_sounds(seed: int) -> History:
    """Draw a history that asks for sounds alone, of a service that does not call back."""
    rng = random.Random(f"history {seed}")
    settle_s = rng.choice((20.0, 20.0, 20.0, 8.0, 30.0))
    lives = _aware(tuple(_life(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))))
    keys = random.Random(f"keys {seed}")
    lives = tuple(replace(life, rotated=keys.random() < 0.25) for life in lives)
    all_kept = all(life.kept is Kept.ALL and life.place is Place.FOLDER for life in lives)
    manifest = draw_manifest(rng, f"chaos-{seed}", most=30)
    budget = Decimal("0.25") * rng.randint(0, len(manifest.takes) * 2)
    settings = _settings(rng, seed, visible_within_s=settle_s * 0.5)
    rules = draw_rules(rng, visible_within_s=settle_s * 0.5)
    if settings.behaviour.units != _PRICE or any(rule.effect.name == "price" for rule in rules):
        settings = replace(settings, behaviour=replace(settings.behaviour, units_in_reply=True))
    return History(
        seed=seed,
        manifest=manifest,
        settings=settings,
        rules=rules,
        lives=lives,
        others=rng.choice((499, 500, 640, 1010)) if rng.random() < 0.06 else 0,
        way_s=rng.choice((Span.fixed(0.02), Span(low=0.02, high=0.4), Span(low=0.1, high=2.0))),
        lingering=rng.choice((0.0, 0.0, 0.0, 0.05, 0.2)),
        commit_s=rng.choice((Span.fixed(0.001), Span(low=0.001, high=0.05), Span(low=0.01, high=0.6))),
        concurrency=None if rng.random() < 0.35 else rng.randint(1, 12),
        max_units=budget if all_kept and rng.random() < 0.15 else None,
        poll_interval_s=rng.choice((0.5, 1.0, 1.0, 2.0, 5.0)),
        settle_time_s=settle_s,
        patience_s=rng.choice((900.0, 900.0, 300.0)),
        retries=rng.randint(0, 3),
        hold_unclear=rng.random() < 0.1,
        intrudes=rng.random() < 0.05 and all(life.place is Place.FOLDER for life in lives),
        writes_reports=rng.random() < 0.05,
    )


def draw_manifest(rng: random.Random, project: str, *, most: int) -> Manifest:
    """Draw jobs with one to `most` takes in all."""
    wanted = rng.randint(1, most)
    jobs: list[Job] = []
    while wanted:
        takes = min(wanted, rng.randint(1, 6))
        wanted -= takes
        name = f"job-{len(jobs) + 1}"
        request = {"prompt": f"Sound {len(jobs) + 1} of {project}", "duration": rng.choice(_DURATIONS)}
        formats = rng.choice(_FORMATS)
        source = Source(path="chaos.yaml", line=len(jobs) + 1)
        facts: dict[str, Any] = {
            "kind": "text-to-audio",
            "request": request,
            "takes": takes,
            "formats": formats,
            "source": source,
        }
        jobs.append(Job(project=project, id=name, **facts))
    return manifest_of(project, jobs)


def manifest_of(project: str, jobs: list[Job]) -> Manifest:
    """Number the takes of some jobs."""
    takes = tuple(
        Take(job=job, number=number, edition=job.edition, stem=f"{job.id}-{number:02}")
        for job in jobs
        for number in range(1, job.takes + 1)
    )
    return Manifest(path="chaos.yaml", project=project, jobs=tuple(jobs), takes=takes)


def _life(rng: random.Random) -> Life:
    end = rng.choice((End.EFFECT, End.EFFECT, *End))
    counted = end in {End.EFFECT, End.DISK_FULL}
    at = float(int(10 ** rng.uniform(0, 2.9))) if counted else 10 ** rng.uniform(-1.5, 2.3)
    deadly = end in {End.EFFECT, End.MOMENT}
    return Life(
        end=end,
        at=at,
        every=rng.choice((1, 1, 1, 1, 2, 3)),
        kept=Kept.ALL if rng.random() < 0.55 else rng.choice(list(Kept)),
        power_cut=deadly and rng.random() < 0.3,
        pause_s=rng.choice((0.0, 0.0, rng.uniform(0, 5), rng.uniform(0, 90))),
        place=Place.FOLDER if rng.random() < 0.7 else rng.choice(list(Place)),
        asked_at=int(10 ** rng.uniform(0, 2.5)) if rng.random() < 0.3 else None,
        colleague_at=int(10 ** rng.uniform(0, 2.5)) if rng.random() < 0.15 else None,
    )


def _aware(lives: tuple[Life, ...]) -> tuple[Life, ...]:
    """Have no life select a part of the takes where state was lost: of the others' tasks it could not know."""
    lost = [index for index, life in enumerate(lives) if life.kept is not Kept.ALL or life.place is not Place.FOLDER]
    if any(life.place is not Place.FOLDER for life in lives):
        return tuple(replace(life, every=1) for life in lives)
    first = lost[0] + 1 if lost else len(lives)
    return (*lives[:first], *(replace(life, every=1) for life in lives[first:]))


def _settings(rng: random.Random, seed: int, *, visible_within_s: float) -> WorldSettings:
    late = rng.choice(("never", "never", "both", "query", "list"))
    charge_failures = rng.random() < 0.1
    span = Span(low=0.0, high=rng.uniform(0, visible_within_s))
    behaviour = Behaviour(
        duplicate_id=rng.choice(("refuse-1201", "refuse-1200", "accept", "accept", "replay")),
        unknown_id=rng.choice(("404-1203", "400-1201", "empty-data", "null-data", "404-1203", "other-task")),
        list_order=rng.choice(("newest", "oldest", "random", "shuffled")),
        query_visible_after=span if late in {"both", "query"} else Span.fixed(0.0),
        list_visible_after=span if late in {"both", "list"} else Span.fixed(0.0),
        charge_failures=charge_failures,
        success_word=rng.choice(("succeed", "succeeded", "SUCCEED")),
        failure_word=rng.choice(("failed", "failed", "FAILED", "cancelled", "expired")),
        units=rng.choice((_PRICE, _PRICE, Decimal("0.5"), Decimal("1.00"), Decimal("0.1"))),
        **_sources(rng),
        **_careless(rng),
        empty_containers=rng.choice(("keep", "leave-out")),
        error_http_200=rng.random() < 0.15,
        units_in_reply=charge_failures or rng.random() < 0.9,
    )
    return WorldSettings(
        seed=seed,
        concurrency=rng.randint(1, 15),
        generation=Span(low=0.5, high=rng.choice((2.0, 10.0, 40.0))),
        queue=Span(low=0.0, high=2.0),
        latency=rng.choice((Span.fixed(0.03), Span(low=0.02, high=0.5))),
        sample_rate=SAMPLE_RATE,
        url_lifetime_s=rng.choice((86_400.0, 86_400.0, 60.0, 15.0)),
        behaviour=behaviour,
    )


def _sources(rng: random.Random) -> dict[str, Any]:
    """Draw how much the query and the list show."""
    drawn: dict[str, Any] = {}
    if rng.random() < 0.3:
        drawn |= rng.choice(
            (
                {"list_scope": "other-key"},
                {"list_cut": rng.choice((3, 10, 200))},
                {"list_window_s": rng.choice((5.0, 30.0, 300.0))},
                {"list_page_cap": rng.choice((2, 7, 100)), "list_page_offset": rng.choice(("capped", "asked"))},
                {"list_shows_unfinished": False},
            )
        )
    if rng.random() < 0.2:
        drawn["external_ids_shown"] = rng.choice(("not-in-list", "when-finished", "when-finished", "never"))
    if rng.random() < 0.06 and "list_window_s" not in drawn and "list_cut" not in drawn:
        drawn["query_by_external_id"] = False
    return drawn


def _careless(rng: random.Random) -> dict[str, Any]:
    """Draw how careless the encoder is, and how late a sound is there."""
    drawn: dict[str, Any] = {}
    if rng.random() < 0.25:
        drawn |= rng.choice(
            (
                {"stated_length": rng.choice(("rounded", "whole", "zero", "empty", "milliseconds"))},
                {"wav_header": rng.choice(("stream-zero", "stream-max", "tag-behind", "rf64"))},
                {"mp3_head": "second-id3"},
                {"length_factor": rng.choice((1.4, 0.4))},
            )
        )
    if rng.random() < 0.15:
        late = Span(low=0.0, high=6.0)
        drawn |= rng.choice(
            ({"audios_after": late}, {"files_after": late, "early_file_status": rng.choice((403, 404))})
        )
    return drawn


_Draw = Callable[[random.Random], Rule]


def draw_rules(rng: random.Random, *, visible_within_s: float) -> tuple[Rule, ...]:
    """Draw some faults of any kind, at rates from rare to every third call."""
    drawn = [_late(rng, visible_within_s) if rng.random() < 0.15 else None]
    if rng.random() < 0.9:
        chosen = rng.sample(_DRAWS, rng.choice((1, 2, 3, 5, 8, len(_DRAWS))))
        drawn += [draw_rule(rng) for draw_rule in chosen]
    return tuple(rule for rule in drawn if rule is not None)


def _rate(rng: random.Random) -> float:
    return rng.choice((0.02, 0.05, 0.05, 0.1, 0.2, 0.35))


def _rule(rng: random.Random, on: frozenset[Call], name: str, value: object) -> Rule:
    return Rule(on=on, effect=Effect(name=name, value=value), probability=_rate(rng))


def _late(rng: random.Random, visible_within_s: float) -> Rule:
    span = Span(low=0.0, high=visible_within_s)
    return _rule(rng, _CREATE, "task-late", rng.choice(((span, span), (span, Span.fixed(0)), (Span.fixed(0), span))))


def _loss(name: str) -> _Draw:
    def make(rng: random.Random) -> Rule:
        on = rng.choice((_CREATE, _CREATE, _READS, _DOWNLOAD, ALL_CALLS))
        return _rule(rng, on, name, rng.choice(("closed", "reset", "timeout")))

    return make


def _error(name: str) -> _Draw:
    def make(rng: random.Random) -> Rule:
        return _rule(rng, rng.choice((_CREATE, _READS, API_CALLS)), name, rng.choice((5000, 5001, 5002)))

    return make


def _garbage(name: str) -> _Draw:
    def make(rng: random.Random) -> Rule:
        kind = rng.choice(("html", "text", "empty", "truncated", "shape"))
        return _rule(rng, rng.choice((_CREATE, _READS, API_CALLS)), name, kind)

    return make


def _refuse(*codes: int, on: frozenset[Call] = API_CALLS, most: int | None = None) -> _Draw:
    def make(rng: random.Random) -> Rule:
        limit = None if most is None else rng.randint(1, most)
        effect = Effect(name="refuse", value=rng.choice(codes))
        return Rule(on=on, effect=effect, probability=_rate(rng), limit=limit)

    return make


def _outage(rng: random.Random) -> Rule:
    begin = rng.uniform(0, 90)
    effect = rng.choice((Effect(name="no-connection", value=True), Effect(name="error-before", value=5001)))
    on = ALL_CALLS if effect.name == "no-connection" else API_CALLS
    return Rule(on=on, effect=effect, between_s=(begin, begin + rng.uniform(1, 150)))


def _delay(rng: random.Random) -> Rule:
    return _rule(rng, rng.choice((ALL_CALLS, _CREATE, _READS)), "delay_s", Span(low=0.0, high=rng.choice((3.0, 90.0))))


def _simple(on: frozenset[Call], name: str, *values: object) -> _Draw:
    def make(rng: random.Random) -> Rule:
        return _rule(rng, on, name, rng.choice(values))

    return make


def _stuck(rng: random.Random) -> Rule:
    return _rule(rng, _CREATE, "task-stuck", rng.uniform(30, 280))


def _gateway(rng: random.Random) -> Rule:
    """Have a gateway answer for a while: what it says is no verdict on anything."""
    status = rng.choice((400, 401, 403, 404, 408, 429, 502, 503, 504))
    answer = {"status": status, "code": rng.choice((None, status, 1305))}
    begin = rng.uniform(0, 60)
    on = rng.choice((_CREATE, _READS, API_CALLS))
    return Rule(on=on, effect=Effect(name="gateway", value=answer), between_s=(begin, begin + rng.uniform(0.5, 5)))


def _price(rng: random.Random) -> Rule:
    """Have the price rise during the history."""
    begin = rng.uniform(0, 120)
    effect = Effect(name="price", value=_RISEN)
    return Rule(on=_CREATE, effect=effect, between_s=(begin, 1e9))


def _forgotten(rng: random.Random) -> Rule:
    begin = rng.uniform(0.5, 20)
    return _rule(rng, _CREATE, "task-forgotten", (begin, begin + rng.uniform(1, 120)))


_DRAWS: tuple[_Draw, ...] = (
    _gateway,
    _price,
    _forgotten,
    _simple(_CREATE, "task-url", "https://[not-a-host", "http://a..b/x.wav"),
    _loss("lost-before"),
    _loss("lost-after"),
    _loss("lost-after"),
    _error("error-before"),
    _error("error-after"),
    _garbage("garbage-before"),
    _garbage("garbage-after"),
    _refuse(1302, 1303, on=_CREATE),
    _refuse(1302),
    _refuse(1000, 1002, 1003, 1004),
    _refuse(1100, 1101, 1102, 1103, 1304, on=_CREATE, most=2),
    _refuse(1200, 1201, 1300, 1301, on=_CREATE, most=4),
    _outage,
    _delay,
    _simple(ALL_CALLS, "no-connection", True),
    _simple(_CREATE, "task-fails", "Internal error, please contact Kling customer service."),
    _simple(_CREATE, "task-fails", RISK),
    _stuck,
    _simple(_DOWNLOAD, "cut", 0.1, 0.5, 0.95, 20, 0),
    _simple(_DOWNLOAD, "slow", 4_000, 60_000),
    _simple(_DOWNLOAD, "corrupt", 64, 2_000),
    _simple(_DOWNLOAD, "wrong-type", True),
    _simple(_DOWNLOAD, "wrong-format", True),
    _simple(_DOWNLOAD, "wrong-length", 0.5, 0.8),
    _simple(_DOWNLOAD, "changed", True),
    _simple(_DOWNLOAD, "status", 403, 404, 429, 500, 503),
    _simple(_DOWNLOAD, "redirect", "once"),
    _simple(_DOWNLOAD, "expire", True),
)
