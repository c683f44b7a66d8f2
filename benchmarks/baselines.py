"""What people write from the documentation: a loop that polls each task, with a semaphore; and one sound at a time."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import jwt

from benchmarks.service import Service

_PATH = "/v1/audio/text-to-audio"


def poll_each(manifest: Path, sandbox: Service, *, slots: int, interval_s: float) -> None:
    """Submit up to `slots` at once and ask for each task every `interval_s` seconds; fetch each sound in turn."""
    jobs = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    asyncio.run(_all(jobs, manifest.parent, sandbox, slots, interval_s))


async def _all(jobs: list[dict[str, str]], folder: Path, sandbox: Service, slots: int, interval_s: float) -> None:
    room = asyncio.Semaphore(slots)
    headers = {"Authorization": f"Bearer {_token(sandbox)}", "Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=8)
    async with (
        httpx.AsyncClient(base_url=sandbox.url, headers=headers, limits=limits, timeout=60) as client,
        httpx.AsyncClient(timeout=60) as files,
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


def _token(sandbox: Service) -> str:
    now = int(time.time())
    claims = {"iss": sandbox.environment["KLING_ACCESS_KEY"], "exp": now + 1800, "nbf": now - 5}
    return jwt.encode(claims, sandbox.environment["KLING_SECRET_KEY"], algorithm="HS256")
