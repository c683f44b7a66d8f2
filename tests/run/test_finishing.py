"""Sounds that are checked and finished: made again at no cost, out of what is paid for once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft7Validator

from kling_batch.api import access
from kling_batch.cli import main
from kling_batch.delivery.verify import Verified, verify_audio
from kling_batch.records.lock import Lock, LockEntry, read_lock
from kling_batch.resources import schema
from kling_batch.sandbox.clips import ClipSpec, encoded

MANIFEST = """
version: 1
project: tavern
defaults: {{duration: 3.0, formats: [{formats}], {defaults}}}
jobs:
  - {{id: door, prompt: Old oak door creaks open, takes: {takes}}}
"""


class Studio:
    """A project whose recipe is written anew as it goes on."""

    def __init__(self, tavern: Any) -> None:
        self.tavern = tavern
        self.out: Path = tavern.out

    def write(self, defaults: str, *, takes: int = 1, formats: str = "wav") -> None:
        self.tavern.manifest.write_text(MANIFEST.format(defaults=defaults, takes=takes, formats=formats))

    def run(self, *options: str) -> int:
        return int(
            main(["run", str(self.tavern.manifest), "--poll-interval", "0.05", "--settle-time", "0.2", *options])
        )

    def lock(self) -> Lock:
        return read_lock(Path(f"{self.tavern.manifest}.lock"), project="tavern")

    def entry(self) -> LockEntry:
        [entry] = self.lock().entries.values()
        return entry

    def sounds(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.glob("door-*")}

    def take(self) -> dict[str, Any]:
        [take] = self.tavern.report()["takes"]
        return dict(take)


@pytest.fixture
def studio(tavern: Any) -> Studio:
    return Studio(tavern)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take the keys away: whoever asks the service from then on fails."""

    def take() -> None:
        for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_BASE_URL"):
            monkeypatch.delenv(name)

    return take


@pytest.fixture
def paid(studio: Studio, serve: Any) -> Iterator[Studio]:
    """A set that was made before there was a recipe; whatever becomes of it, nothing more is paid."""
    server = serve()
    studio.write("tags: []")
    assert studio.run("--yes") == 0
    yield studio
    assert len(server.world.ledger.charges) == 1


@pytest.fixture
def made(paid: Studio, nobody: Any) -> Studio:
    """The same, where nobody can be asked any more."""
    nobody()
    return paid


def loud(levels: list[float]) -> Callable[[ClipSpec], bytes]:
    """Make tones, each new sound at the next level."""
    seen: dict[str, float] = {}

    def synth(spec: ClipSpec) -> bytes:
        level = seen.setdefault(spec.seed, levels[min(len(seen), len(levels) - 1)])
        time = np.arange(round(spec.duration_s * spec.sample_rate)) / spec.sample_rate
        return encoded((np.sin(time * 2 * np.pi * 440) * level).astype(np.float32), spec)

    return synth


def test_another_target_costs_nothing(made: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    """No keys, no question, no request: the sources are kept, and the second run has nothing to do."""
    before = made.sounds()
    made.write("finish: {loudness: -18, formats: [ogg, wav]}")
    assert made.run() == 0
    first, sources = made.sounds(), made.entry().files
    assert first.keys() == {"door-01.ogg", "door-01.wav"}
    made.write("finish: {loudness: -23, formats: [ogg, wav]}")
    assert main(["plan", str(made.tavern.manifest)]) == 0
    assert "loudness: -18 -> -23 (from the store)\n\nPlan: 1 to finish; nothing to pay." in capsys.readouterr().out
    assert made.run() == 0
    take = made.take()
    assert (take["loudness"], take["units"], made.tavern.report()["summary"]["api_requests"]) == (-23.0, "0.25", 0)
    assert made.sounds()["door-01.wav"] not in (first["door-01.wav"], before["door-01.wav"])
    assert made.entry().files == sources
    assert made.entry().recipe["finish"]["loudness"] == -23
    written = {path: path.stat().st_mtime_ns for path in made.out.glob("door*")}
    assert made.run() == 0
    assert written == {path: path.stat().st_mtime_ns for path in made.out.glob("door*")}
    whole = made.sounds()
    shutil.rmtree(made.out)
    assert made.run() == 0
    assert made.sounds() == whole
    assert main(["verify", str(made.tavern.manifest)]) == 0
    Draft7Validator(schema("report")).validate(made.tavern.report())
    Draft7Validator(schema("lock")).validate(json.loads(Path(f"{made.tavern.manifest}.lock").read_text()))


@pytest.mark.parametrize("store", [(), ("--no-store",), ("--keep-sources",)])
def test_a_recipe_comes_and_goes(made: Studio, store: tuple[str, ...]) -> None:
    """What was delivered gives way to what is made of it, is kept, and comes back, all for nothing."""
    before = made.sounds()
    made.write("finish: {peak: -6, formats: [flac]}")
    assert made.run(*store) == 0
    beside = {f"sources/{name}": data for name, data in before.items()} if store else {}
    found = {path.relative_to(made.out).as_posix() for path in made.out.rglob("door-01.*")}
    assert found == {"door-01.flac", *beside}
    assert {name: (made.out / name).read_bytes() for name in beside} == beside
    made.write("tags: []")
    assert main(["restore", str(made.tavern.manifest), *store]) == 0
    assert made.sounds() == before
    assert made.run(*store) == 0
    assert (made.entry().recipe, made.entry().finished) == ({}, ())


def test_a_store_that_fails_leaves_the_sources_beside(made: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that was paid for gives way to what is made of it before it is kept."""
    before = made.sounds()
    (made.tavern.folder / "blocked").write_text("a file where the store should be")
    made.write("finish: {loudness: -18}")
    assert made.run("--store", "blocked") == 0
    assert "Nothing more is kept in the store" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (made.out / "sources").iterdir()} == before


def test_the_chosen_take_stands_finished_under_the_plain_name(paid: Studio) -> None:
    """As its files do, whatever becomes of the recipe; and what a machine lacks it gets by lock and store alone."""
    paid.write("finish: {loudness: -18, formats: [ogg]}")
    assert paid.run() == 0
    assert main(["pick", str(paid.tavern.manifest), "door=1"]) == 0
    whole = paid.sounds()
    assert (paid.out / "door.ogg").read_bytes() == whole["door-01.ogg"]
    shutil.rmtree(paid.out)
    assert main(["restore", str(paid.tavern.manifest)]) == 0
    assert paid.sounds() == whole
    assert (paid.out / "door.ogg").is_file()
    assert main(["verify", str(paid.tavern.manifest)]) == 0
    for recipe in ("{loudness: -20, formats: [ogg, wav]}", "{loudness: -22, formats: [wav]}", "off"):
        paid.write(f"finish: {recipe}")
        assert paid.run() == 0
        files = {path.suffix: path.read_bytes() for path in paid.out.glob("door-01.*")}
        assert {path.suffix: path.read_bytes() for path in paid.out.glob("door.*")} == files
        assert main(["verify", str(paid.tavern.manifest)]) == 0


def test_an_earlier_sound_does_not_stay_beside(studio: Studio, serve: Any) -> None:
    """Where sources are kept beside no more, none stands there that is not of the sound that was finished."""
    serve()
    studio.write("finish: {loudness: -18}")
    assert studio.run("--yes", "--keep-sources") == 0
    earlier = (studio.out / "sources" / "door-01.wav").read_bytes()
    studio.write("finish: {loudness: -18}, edition: 2")
    assert studio.run("--yes") == 0
    assert main(["verify", str(studio.tavern.manifest)]) == 0
    assert earlier in [path.read_bytes() for path in (studio.out / ".kling-batch" / "replaced").iterdir()]


def test_what_was_finished_comes_back_from_the_store(made: Studio) -> None:
    """Where the finished files are gone from there, too, they are made of their source: the same bytes."""
    store = made.tavern.folder / "store"
    made.write("finish: {loudness: -18, formats: [ogg, mp3]}")
    assert made.run("--store", str(store)) == 0
    before, lock = made.sounds(), Path(f"{made.tavern.manifest}.lock").read_bytes()
    for _ in range(2):
        shutil.rmtree(made.out)
        assert made.run("--frozen", "--store", str(store)) == 0
        assert made.sounds() == before
        for file in made.entry().finished:
            next(store.rglob(file.sha256)).unlink(missing_ok=True)
    assert Path(f"{made.tavern.manifest}.lock").read_bytes() == lock


def test_a_changed_recipe_is_drift(made: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    """Under --frozen nothing is written; --locked finishes, since that costs nothing."""
    made.write("finish: {loudness: -18}")
    before = made.sounds()
    assert made.run("--frozen") == 3
    assert "door:1: finish: off -> loudness, formats" in capsys.readouterr().err
    assert made.sounds() == before
    assert made.run("--locked") == 0


def test_a_file_that_a_person_edited_is_kept(paid: Studio) -> None:
    """In place while the recipe is the same; aside when another sound comes. What is no sound is put right."""
    made = paid
    made.write("finish: {loudness: -18, formats: [wav, ogg]}")
    assert made.run() == 0
    edited = encoded(
        np.zeros(9000, np.float32), ClipSpec(prompt="", duration_s=1.0, audio_format="wav", seed="", sample_rate=9000)
    )
    (made.out / "door-01.wav").write_bytes(edited)
    (made.out / "door-01.ogg").unlink()
    assert made.run() == 0
    assert made.sounds()["door-01.wav"] == edited
    assert "edited" in made.take()["warnings"][0]
    made.write("finish: {loudness: -20, formats: [wav, ogg]}")
    assert made.run() == 0
    assert made.sounds()["door-01.wav"] != edited
    kept = next(path for path in (made.out / ".kling-batch" / "replaced").iterdir())
    assert kept.read_bytes() == edited
    (made.out / "door-01.wav").write_bytes(b"no sound")
    assert made.run() == 0
    assert "door-01.wav: the original is back, and what stood there is kept as" in made.take()["warnings"][0]


def test_a_check_rejects_what_is_paid_for(made: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    """It is known by every machine, stands under rejected/ alone, and is taken back at no cost."""
    made.write("check: {quiet: {below: -3, then: fail}}, finish: {peak: -1}")
    before = made.sounds()
    assert made.run() == 1
    assert re.search(
        r"door:1: failed: Rejected: quiet: its loudness is -1\d\.\d LUFS, and below -3", capsys.readouterr().err
    )
    rejected = [path for path in (made.out / "rejected").iterdir() if path.suffix == ".wav"]
    assert [path.read_bytes() for path in rejected] == list(before.values())
    assert [made.out / source["path"] for source in made.take()["sources"]] == rejected
    assert not list(made.out.glob("door*"))
    assert "below -3 LUFS counts as quiet" in (made.out / "junit.xml").read_text()
    assert (made.take()["status"], made.take()["remarks"][0]["then"]) == ("failed", "fail")
    assert made.entry().remarks[0].then == "fail"
    assert made.run() == 1
    assert main(["verify", str(made.tavern.manifest)]) == 3
    made.write("check: {quiet: {below: -3, then: warn}}, finish: {peak: -1}")
    assert main(["plan", str(made.tavern.manifest)]) == 0
    assert "check quiet: fail -> warn" in capsys.readouterr().out
    assert made.run() == 0
    assert "quiet" in made.take()["warnings"][0]
    assert not list((made.out / "rejected").iterdir())


def test_takes_that_are_the_same_sound_are_told_of(studio: Studio, serve: Any) -> None:
    """Of two, the later one, in whatever order they come; also without a recipe."""
    serve()
    studio.write("check: {alike: warn}", takes=3)
    assert studio.run("--yes") == 0
    found = {take["take"]: [remark["words"] for remark in take["remarks"]] for take in studio.tavern.report()["takes"]}
    assert found[1] == []
    assert all("the same sound as door:" in found[number][0] for number in (2, 3))


ROLLS = "check: {silent: fail}, finish: {peak: -1}"


def test_a_plan_counts_what_rejected_sounds_may_cost(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    """At most: the first sound, and two in its place, of each take."""
    studio.write(ROLLS, takes=4)
    assert main(["plan", str(studio.tavern.manifest), "--reroll-rejected", "2", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["units"] == "3.00"


def test_a_rejected_take_is_rolled_again_within_the_budget(studio: Studio, serve: Any) -> None:
    """What is spent is never above it; what was rejected is kept as retired, and the winner is the lock's."""
    server = serve(synth=loud([0.0, 0.0, 0.5]))
    studio.write(ROLLS)
    assert studio.run("--max-units", "0.25") == 1
    assert studio.run("--max-units", "0.25", "--reroll-rejected", "2") == 4
    assert len(server.world.ledger.charges) == 2
    assert studio.run("--max-units", "0.25", "--reroll-rejected", "1") == 1
    assert len(server.world.ledger.charges) == 2
    assert studio.run("--max-units", "0.25", "--reroll-rejected", "2") == 0
    assert studio.run("--reroll-rejected", "2") == 0
    assert len(server.world.ledger.charges) == 3
    lock = studio.lock()
    assert (studio.entry().edition, studio.entry().rerolls) == (3, 2)
    assert sorted(entry.edition for entry in lock.retired.values()) == [1, 2]
    assert studio.sounds().keys() == {"door-01.wav"}
    assert studio.tavern.report()["summary"]["units"] == "0.75"


class Died(BaseException):
    """The program is gone."""


@pytest.fixture
def die(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Callable[[], bool]]:
    """Have the program die at its n-th effect: from there on, none happens. Says whether it came to that."""

    def at(number: int) -> Callable[[], bool]:
        count = 0

        def probe(effect: str) -> None:
            nonlocal count
            count += 1
            if count >= number:
                raise Died(effect)

        monkeypatch.setattr(access, "no_probe", probe)
        return lambda: count >= number

    return at


def test_a_death_at_any_effect_of_finishing_costs_nothing(made: Studio, die: Any, monkeypatch: Any) -> None:
    """Under a final name stands what was there before, or what is whole; and the next run ends as the first would."""
    made.write("finish: {loudness: -18, formats: [wav, flac]}")
    base, work = made.tavern.folder, made.tavern.folder.parent / "at"
    source = made.sounds()["door-01.wav"]
    number, dead, whole = 0, True, None
    while dead or whole is None:
        number += 1
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(base, work)
        monkeypatch.chdir(work)
        died = die(number)
        options = ["run", "tavern.yaml", "--store", "store"]
        with suppress(Died, BaseExceptionGroup):
            main(options)
        dead = died()
        for path in (work / "out" / "tavern").glob("door-01.*"):
            kind = path.suffix[1:]
            found = verify_audio(path, audio_format=kind, requested_s=None)
            assert isinstance(found, Verified), number
            assert kind == "flac" or path.read_bytes() == source or path.read_bytes() != b"", number
        die(10**6)
        assert main(options) == 0, number
        sounds = {path.name: path.read_bytes() for path in (work / "out" / "tavern").glob("door-01.*")}
        whole = whole or sounds
        assert sounds == whole, number
        assert main(["verify", "tavern.yaml"]) == 0, number
    assert number > 10


@pytest.mark.parametrize("locked", [False, True])
def test_rolls_cost_no_more_over_deaths(
    serve: Any, die: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, locked: bool
) -> None:
    """The first two sounds of every set are silent: whenever the program dies, three are paid for, and no more.

    Also where the lock has the first, from a time when nothing was looked for in it.
    """
    seen: dict[str, list[str]] = {}

    def synth(spec: ClipSpec) -> bytes:
        known = seen.setdefault(spec.prompt, [])
        known += [spec.seed] if spec.seed not in known else []
        return loud([0.0 if spec.seed in known[:2] else 0.5])(spec)

    server = serve(synth=synth)
    number, dead, sets = 3, True, 0
    while dead:
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        text = MANIFEST.format(defaults=ROLLS, takes=1, formats="wav").replace("tavern", f"set{number}")
        text = text.replace("creaks", f"creaks {number}")
        words = ["run", "set.yaml", "--max-units", "0.75", "--reroll-rejected", "2", "--poll-interval", "0.05"]
        words += ["--settle-time", "0.2"]
        if locked:
            Path("set.yaml").write_text(text.replace(ROLLS, "tags: []"))
            assert main(words) == 0, number
        Path("set.yaml").write_text(text)
        died = die(number)
        with suppress(Died, BaseExceptionGroup):
            main(words)
        dead = died()
        die(10**6)
        assert main(words) == 0, number
        assert main(words) == 0, number
        sets += 1
        assert len(server.world.ledger.charges) == 3 * sets, number
        lock = read_lock(Path("set.yaml.lock"), project=f"set{number}")
        assert [entry.edition for entry in lock.entries.values()] == [3]
        assert sorted(entry.edition for entry in lock.retired.values()) == [1, 2], number
        number += 4
    assert sets > 4
