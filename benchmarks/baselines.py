"""What people write from the documentation: a loop that polls each task, with a semaphore; and one sound at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt

_PATH = "/v1/audio/text-to-audio"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Where the service is, and with which keys. `transport` None is the network."""

    url: str
    access_key: str
    secret_key: str
    now: Callable[[], float] = time.time
    transport: httpx.AsyncBaseTransport | None = None

    def headers(self) -> dict[str, str]:
        """Sign a token that lasts for the whole run."""
        now = int(self.now())
        claims = {"iss": self.access_key, "exp": now + 36_000, "nbf": now - 5}
        token = jwt.encode(claims, self.secret_key, algorithm="HS256")
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def jobs_of(manifest: Path) -> list[dict[str, str]]:
    """Read the jobs of a manifest that `write_manifest` wrote."""
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


async def poll_each(jobs: list[dict[str, str]], folder: Path, reach: Reach, *, slots: int, interval_s: float) -> None:
    """Submit up to `slots` at once and ask for each task every `interval_s` seconds; fetch each sound in turn."""
    room = asyncio.Semaphore(slots)
    limits = httpx.Limits(max_connections=8)
    async with (
        httpx.AsyncClient(
            base_url=reach.url, headers=reach.headers(), limits=limits, timeout=60, transport=reach.transport
        ) as client,
        httpx.AsyncClient(timeout=60, transport=reach.transport) as files,
        asyncio.TaskGroup() as group,
    ):
        for job in jobs:
            group.create_task(_one(job, client, files, room, interval_s, folder))


async def _one(
    job: dict[str, str],
    client: httpx.AsyncClient,
    files: httpx.AsyncClient,
    room: asyncio.Semaphore,
    interval_s: float,
    folder: Path,
) -> None:
    async with room:
        body = {"prompt": job["prompt"], "duration": job["duration"], "external_task_id": job["id"]}
        created = (await client.post(_PATH, json=body)).json()
        task_id = created["data"]["task_id"]
        while True:
            await asyncio.sleep(interval_s)
            data = (await client.get(f"{_PATH}/{task_id}")).json()["data"]
            if data["task_status"] in {"succeed", "failed"}:
                break
    sound = await files.get(data["task_result"]["audios"][0]["url_wav"])
    (folder / f"{job['id']}.wav").write_bytes(sound.content)
