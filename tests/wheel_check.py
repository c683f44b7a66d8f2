"""Checks the built wheel in an environment that has never seen this checkout: `make wheel-check`.

Not a test of pytest: it builds and installs, which takes about a minute and the package index. What it guards
against is a file that an editable install finds in the checkout and the wheel has left behind: a schema, a query, a
template.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
MANIFEST = "examples/fireworks.yaml"
ONE_TAKE = "last-ember"


def main() -> int:
    """Build, install elsewhere, and use what was installed."""
    with tempfile.TemporaryDirectory(prefix="kling-batch-wheel-") as folder:
        place = Path(folder)
        _say("building the wheel")
        wheel = _build(place / "wheels")
        _say(f"installing {wheel.name} into a clean environment")
        program = _install(wheel, place / "clean")
        work = place / "work"
        work.mkdir()
        shutil.copytree(CHECKOUT / "examples", work / "examples", ignore=shutil.ignore_patterns("*.lock"))
        _check_schemas(program, work)
        _check_commands(program, work)
    _say(f"{wheel.name}: validate, schema, plan, init and a sandbox run work from the wheel alone")
    return 0


def _build(folder: Path) -> Path:
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CHECKOUT], cwd=CHECKOUT)
    (wheel,) = folder.glob("kling_batch-*.whl")
    return wheel


def _install(wheel: Path, folder: Path) -> Path:
    """Install the wheel with its dependencies, no extras; gives the folder of the programs."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    _run([programs / "python", "-m", "pip", "install", "--quiet", wheel], cwd=folder)
    return programs


def _check_schemas(programs: Path, work: Path) -> None:
    """The schemas are those of the checkout, and come from inside the installed package."""
    question = "import kling_batch, kling_batch.resources as r; print(kling_batch.__file__); print(r.SCHEMAS)"
    package, schemas = (Path(line) for line in _run([programs / "python", "-I", "-c", question], cwd=work).splitlines())
    _expect(programs.parent in package.parents, f"the package comes from {package}")
    _expect(schemas == package.parent / "schemas", f"the schemas come from {schemas}")
    for path in sorted((CHECKOUT / "schemas").rglob("*.json")):
        name = path.relative_to(CHECKOUT / "schemas").as_posix().removesuffix(".schema.json").removesuffix(".json")
        shown = _run([programs / "kling-batch", "schema", name], cwd=work)
        _expect(json.loads(shown) == json.loads(path.read_text("utf-8")), f"schema {name} differs from the checkout's")


def _check_commands(programs: Path, work: Path) -> None:
    """The wheel does the main job: a take comes out of the sandbox, verified, with its reports."""
    kling_batch = programs / "kling-batch"
    _run([kling_batch, "validate", MANIFEST], cwd=work)
    plan = json.loads(_run([kling_batch, "plan", MANIFEST, "--format", "json"], cwd=work))
    _expect(plan["summary"]["generate"] == len(plan["takes"]), "the plan of a fresh folder is not to generate all")
    _run([kling_batch, "run", MANIFEST, "--sandbox", "--select", ONE_TAKE], cwd=work)
    report = json.loads((work / "out/fireworks.sandbox/report.json").read_text("utf-8"))
    _expect(report["summary"]["succeeded"] == 1, f"the sandbox run gave {report['summary']}")
    _run([kling_batch, "verify", MANIFEST, "--sandbox", "--select", ONE_TAKE], cwd=work)
    _run([kling_batch, "demo", "--no-open"], cwd=work)
    _expect((work / "kling-batch-demo/out/fireworks.sandbox/report.html").is_file(), "the demo has no page")
    _run([kling_batch, "init", "new"], cwd=work)
    _run([kling_batch, "validate", "new/sounds.yaml"], cwd=work)


def _run(command: list[str | Path], *, cwd: Path) -> str:
    """Run a program without anything of this checkout or this user in its environment; gives its stdout."""
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "XDG_CACHE_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in own and not name.startswith("KLING_")}
    cache = {"XDG_CACHE_HOME": str(cwd / "cache")} if cwd.name == "work" else {}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | cache, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(str(part) for part in command)
        sys.exit(f"wheel check: {words} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"wheel check: {otherwise}")


def _say(words: str) -> None:
    sys.stdout.write(f"wheel check: {words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
