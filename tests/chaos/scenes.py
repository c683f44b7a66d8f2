"""Histories that are not drawn: the reference batch of the crash points, the batch of 300, the hunts for mutants."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from itertools import cycle

from kling_batch.catalog import kind, kinds
from kling_batch.model import Job, Source
from kling_batch.sandbox.faults import ALL_CALLS, API_CALLS, Call, Effect, Rule
from kling_batch.sandbox.settings import Behaviour, Span, WorldSettings
from tests.chaos.history import RECIPES, SAMPLE_RATE, End, History, Kept, Life, Place, draw_sounds, manifest_of, of_kind

_CREATE = frozenset({Call.CREATE})
_DOWNLOAD = frozenset({Call.DOWNLOAD})
_LATE = Span(low=0.0, high=4.0)


def jobs(project: str, count: int, takes: int) -> list[Job]:
    """Make jobs of so many takes each."""
    return [
        Job(
            project=project,
            id=f"job-{number}",
            kind="text-to-audio",
            request={"prompt": f"Sound {number}", "duration": 3.0},
            takes=takes,
            formats=("wav", "mp3"),
            source=Source(path="chaos.yaml", line=number),
        )
        for number in range(1, count + 1)
    ]


def reference(life: Life | None = None) -> History:
    """Give 20 takes in two formats, on a service that shows tasks late and would take every duplicate."""
    return History(
        seed=0,
        manifest=manifest_of("reference", jobs("reference", 5, 4)),
        settings=WorldSettings(
            seed=0,
            concurrency=6,
            generation=Span(low=1.0, high=4.0),
            latency=Span(low=0.02, high=0.3),
            sample_rate=SAMPLE_RATE,
            behaviour=Behaviour(duplicate_id="accept", query_visible_after=_LATE, list_visible_after=_LATE),
        ),
        lives=() if life is None else (life,),
        way_s=Span(low=0.02, high=0.4),
        concurrency=5,
    )


def of_every_kind() -> History:
    """Give the reference batch with a job of each kind, and one kind twice; three of the jobs are finished."""
    mixed = _of_kinds(reference(), *(each.name for each in kinds().values()))
    recipes = zip(cycle(RECIPES), mixed.manifest.jobs, strict=False)
    finished = [job if kind(job.kind).rights else replace(job, finish=recipe) for recipe, job in recipes]
    return replace(mixed, manifest=manifest_of(mixed.manifest.project, finished))


def killed_at(effect: int, kept: Kept, batch: History | None = None) -> History:
    """Give the reference batch, or another, killed at an effect."""
    life = Life(end=End.EFFECT, at=float(effect), kept=kept, power_cut=effect % 2 == 0)
    return replace(batch or reference(), lives=(life,))


def _struck(on: frozenset[Call], name: str, value: object) -> Rule:
    return Rule(on=on, effect=Effect(name=name, value=value), probability=0.05)


EVERYTHING = (
    *(_struck(ALL_CALLS, name, "closed") for name in ("lost-before", "lost-after")),
    *(_struck(API_CALLS, name, 5000) for name in ("error-before", "error-after")),
    _struck(API_CALLS, "garbage-before", "html"),
    _struck(API_CALLS, "garbage-after", "truncated"),
    _struck(ALL_CALLS, "no-connection", True),
    _struck(API_CALLS, "refuse", 1302),
    _struck(_CREATE, "refuse", 1303),
    _struck(ALL_CALLS, "delay_s", Span(low=0.0, high=5.0)),
    _struck(_CREATE, "task-late", (_LATE, _LATE)),
    _struck(_CREATE, "task-fails", "Internal error, please contact Kling customer service."),
    _struck(_CREATE, "task-stuck", 120.0),
    _struck(_DOWNLOAD, "cut", 0.5),
    _struck(_DOWNLOAD, "slow", 20_000),
    _struck(_DOWNLOAD, "corrupt", 64),
    _struck(_DOWNLOAD, "wrong-type", True),
    _struck(_DOWNLOAD, "wrong-format", True),
    _struck(_DOWNLOAD, "wrong-length", 0.5),
    _struck(_DOWNLOAD, "changed", True),
    _struck(_DOWNLOAD, "status", 503),
    _struck(_DOWNLOAD, "redirect", "once"),
    _struck(_DOWNLOAD, "expire", True),
)
"""Every fault that a run can get over, each at 5 %."""


def three_hundred() -> History:
    """Give 300 takes at 30 slots, with every fault at 5 %."""
    base = reference()
    return replace(
        base,
        manifest=manifest_of("three-hundred", jobs("three-hundred", 60, 5)),
        settings=replace(base.settings, concurrency=30),
        rules=EVERYTHING,
        lives=(Life(end=End.ITSELF),),
        concurrency=30,
        retries=6,
    )


def hunt(seed: int) -> History:
    """Draw a history on a crowded account that takes duplicates and loses answers: where a careless program pays."""
    drawn = draw_sounds(seed)
    rng = random.Random(f"hunt {seed}")
    behaviour = replace(drawn.settings.behaviour, duplicate_id="accept", list_order=rng.choice(("oldest", "shuffled")))
    lives = (
        Life(end=End.EFFECT, at=float(rng.randint(10, 150)), pause_s=0.1),
        Life(end=End.MOMENT, at=rng.uniform(25, 60), kept=rng.choice((Kept.ALL, Kept.NOTHING))),
    )
    return replace(
        drawn,
        settings=replace(drawn.settings, behaviour=behaviour, generation=Span(low=5.0, high=30.0)),
        rules=(_struck(_CREATE, "lost-after", "reset"), _struck(_CREATE, "task-late", (_LATE, _LATE))),
        lives=lives,
        others=640 if seed % 3 == 0 else 0,
        lingering=0.0,
        max_units=None,
    )


def _behaving(history: History, **behaviour: object) -> History:
    settings = history.settings
    changed = replace(settings.behaviour, **behaviour)  # type: ignore[arg-type]
    return replace(history, settings=replace(settings, behaviour=changed))


def _losing(history: History, share: float) -> History:
    """Lose so many of the answers to create calls, after the task was made."""
    rule = Rule(on=_CREATE, effect=Effect(name="lost-after", value="reset"), probability=share)
    return replace(history, rules=(rule,))


def late_consent(seed: int) -> History:
    """Ask while another run sends and loses its answers; that one ends at its deadline, and then the answer is yes."""
    first = Life(end=End.DEADLINE, at=26.0 + seed % 5)
    return _losing(reference_of(seed, first, Life(end=End.ITSELF, asked_at=1)), 0.5)


def nothing_heard(seed: int) -> History:
    """Lose answers on an account that shows no task by its external id."""
    history = _losing(reference_of(seed, Life(end=End.ITSELF)), 0.5)
    return _behaving(replace(history, unproven=True), query_by_external_id=False, list_scope="other-key")


def two_machines(seed: int) -> History:
    """Kill a machine that has just sent, tasks becoming visible late; go on at once on one that worked before."""
    warm = Life(end=End.DEADLINE, at=26.0, every=4)
    killed = Life(end=End.MOMENT, at=22.0 + (seed % 10) / 4, place=Place.MACHINE)
    return _behaving(
        reference_of(seed, warm, killed, Life(end=End.ITSELF)), list_visible_after=_LATER, query_visible_after=_LATER
    )


def dear(seed: int) -> History:
    """Charge four times the list price, within a budget."""
    history = reference_of(seed, Life(end=End.ITSELF))
    return _behaving(replace(history, max_units=Decimal("3.00")), units=Decimal("1.00"))


def forgetful(seed: int) -> History:
    """Hide tasks that run for minutes, where two slots are allowed."""
    rule = replace(_struck(_CREATE, "task-forgotten", (3.0, 400.0)), probability=0.3)
    history = reference_of(seed, Life(end=End.ITSELF))
    settings = replace(history.settings, generation=Span(low=100.0, high=300.0))
    return replace(history, concurrency=2, rules=(rule,), settings=settings)


def listed(seed: int) -> History:
    """Show external ids in the list alone, on a crowded account whose newest tasks stand last."""
    history = replace(reference_of(seed, Life(end=End.ITSELF)), others=640)
    return _behaving(history, query_by_external_id=False, list_order="oldest")


def colleague(seed: int) -> History:
    """Put somebody else's entry into the lock in the middle of a run."""
    return reference_of(seed, Life(end=End.ITSELF, colleague_at=120 + seed))


def careless(seed: int) -> History:
    """Deliver whole sounds whose length is stated as nothing like it."""
    return _behaving(reference_of(seed, Life(end=End.ITSELF)), stated_length="milliseconds")


def spoken(seed: int) -> History:
    """Lose answers that are the result, at four times the list price, beside sounds of which none is lost."""
    history = _of_kinds(reference_of(seed, Life(end=End.ITSELF)), "text-to-audio", "text-to-speech", "text-to-speech")
    return _behaving(_losing(history, 0.2), units=Decimal("1.00"))


def unlicensed(seed: int) -> History:
    """Ask for voices where nobody has said who agrees."""
    return _of_kinds(reference_of(seed, Life(end=End.ITSELF, rights=False)), "text-to-audio", "voice-clone")


def left_in_flight(seed: int) -> History:
    """Kill a run that makes sounds for videos; the next one has other sounds to make first, in as many slots."""
    killed = Life(end=End.MOMENT, at=420.0, every=2)
    history = reference_of(seed, killed, Life(end=End.ITSELF))
    names = ("text-to-audio", "text-to-audio", "video-to-audio", "text-to-audio", "video-to-audio", "text-to-audio")
    singles = replace(history, manifest=manifest_of("left", jobs("left", 20, 1)))
    settings = replace(history.settings, generation=Span(low=150.0, high=300.0), concurrency=20)
    return replace(_of_kinds(singles, *names), settings=settings)


def _of_kinds(history: History, *names: str) -> History:
    """Have a history's jobs ask for these kinds in turn."""
    turns = zip(cycle(names), history.manifest.jobs, strict=False)
    manifest = manifest_of(history.manifest.project, [of_kind(name, job) for name, job in turns])
    return replace(history, manifest=manifest)


_LATER = Span(low=6.0, high=9.0)


def reference_of(seed: int, *lives: Life) -> History:
    """Give the reference batch with some lives, and chance of its own."""
    history = reference()
    return replace(history, seed=seed, settings=replace(history.settings, seed=seed), lives=lives)
