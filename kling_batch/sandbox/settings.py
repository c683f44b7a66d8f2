"""What a sandbox is like: keys, speed, room, and how it behaves where the service's documentation is silent."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

SANDBOX_ACCESS_KEY = "sandbox-access-key"
SANDBOX_SECRET_KEY = "sandbox-secret-key-that-opens-nothing-else"  # noqa: S105 - public: it opens the sandbox alone
SANDBOX_API_KEY = "sandbox-api-key"

API_BASE_URL = "https://api.sandbox.invalid"
"""Where the API is inside the process. A name that no resolver knows, so that nothing can leave by accident."""
FILE_BASE_URL = "https://files.sandbox.invalid"
"""Where the result files are inside the process: another host than the API's, as on the service."""

ListOrder = Literal["newest", "oldest", "random", "shuffled"]
StatedLength = Literal["exact", "rounded", "whole", "zero", "empty", "milliseconds"]
WavHeader = Literal["exact", "stream-zero", "stream-max", "tag-behind", "rf64", "adpcm"]
Mp3Head = Literal["exact", "second-id3", "junk"]

DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Seconds, drawn anew for each task: from `low` to `high`, or, with `sigma`, log-normal round the median `low`."""

    low: float
    high: float
    sigma: float = 0.0

    @staticmethod
    def fixed(seconds: float) -> Span:
        """Make one that is always the same."""
        return Span(low=seconds, high=seconds)

    @staticmethod
    def log_normal(median: float, sigma: float) -> Span:
        """Make one that is mostly near the median and sometimes far above it, as queues are."""
        return Span(low=median, high=median, sigma=sigma)

    def draw(self, rng: random.Random) -> float:
        """Draw one figure."""
        if self.sigma:
            return self.low * math.exp(rng.gauss(0.0, self.sigma))
        return self.low if self.low == self.high else rng.uniform(self.low, self.high)


NO_TIME = Span.fixed(0.0)
_A_MOMENT = Span.fixed(0.1)
_TWO_SECONDS = Span.fixed(2.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """One answer to each question that the documentation leaves open. Each field is explained in docs/faults.md."""

    duplicate_id: Literal["refuse-1201", "refuse-1200", "accept", "replay"] = "refuse-1201"
    unknown_id: Literal["404-1203", "400-1201", "empty-data", "null-data", "other-task"] = "404-1203"
    query_by_external_id: bool = True
    external_ids_shown: Literal["always", "not-in-list", "when-finished", "never"] = "always"
    list_scope: Literal["account", "other-key"] = "account"
    list_order: ListOrder = "newest"
    list_shows_unfinished: bool = True
    list_cut: int | None = None
    list_window_s: float | None = None
    list_page_cap: int | None = None
    list_page_offset: Literal["capped", "asked"] = "capped"
    query_visible_after: Span = NO_TIME
    list_visible_after: Span = NO_TIME
    charge_failures: bool = False
    success_word: Literal["succeed", "succeeded", "SUCCEED"] = "succeed"
    failure_word: Literal["failed", "FAILED", "cancelled", "canceled", "expired"] = "failed"
    audios_after: Span = NO_TIME
    files_after: Span = NO_TIME
    early_file_status: Literal[403, 404] = 404
    stated_length: StatedLength = "exact"
    length_factor: float = 1.0
    wav_header: WavHeader = "exact"
    mp3_head: Mp3Head = "exact"
    empty_containers: Literal["keep", "leave-out"] = "keep"
    error_http_200: bool = False
    units_in_reply: bool = True
    units: Decimal = Decimal("0.25")


@dataclass(frozen=True, kw_only=True, slots=True)
class Callbacks:
    """How tasks are told of, where a create call names an address. Each field is explained in docs/faults.md."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    states: Literal["all", "ended"] = "all"
    results: bool = True
    late: Span = NO_TIME
    lost: float = 0.0
    doubled: float = 0.0
    forged: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """A resource pack, as `GET /account/costs` tells of it. Times are Unix seconds."""

    name: str = "Sandbox pack"
    id: str = "sandbox-pack-1"
    type: str = "decreasing_total"
    total: float = 5000.0
    effective_at: float = 1_577_836_800.0
    invalid_at: float = 4_102_444_800.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldSettings:
    """A sandbox's settings.

    `concurrency` is how many tasks may be in flight; `queue` is the time from `submitted` to `processing`, and
    `generation` the time from there to the end. `latency` passes before every answer. `balance_units` None is an
    account that never runs dry. `url_lifetime_s` is how long a result URL works after it was handed out.
    `speech_format` is the form of a speech's only file and of a voice's trial; `video_s` is how long a video is that
    the sandbox cannot read, and `mp4_sound` whether there is a sound track in what it makes of one.
    """

    access_key: str = SANDBOX_ACCESS_KEY
    secret_key: str = field(default=SANDBOX_SECRET_KEY, repr=False)
    api_key: str = field(default=SANDBOX_API_KEY, repr=False)
    seed: int = 0
    concurrency: int = 10
    generation: Span = _TWO_SECONDS
    queue: Span = _A_MOMENT
    latency: Span = NO_TIME
    packs: tuple[Pack, ...] = (Pack(),)
    balance_units: Decimal | None = None
    speech_format: Literal["mp3", "wav"] = "mp3"
    video_s: float = 5.0
    mp4_sound: bool = True
    sample_rate: int = 44_100
    file_base_url: str = FILE_BASE_URL
    url_lifetime_s: float = DAY_S
    retention_s: float = 30 * DAY_S
    behaviour: Behaviour = Behaviour()
    callbacks: Callbacks = Callbacks()
