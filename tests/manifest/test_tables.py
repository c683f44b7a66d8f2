"""CSV, JSON and JSON Lines as manifests, and tables inside of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kling_batch.errors import ManifestInvalid, UsageError
from kling_batch.manifest import load

Write = Callable[[str, str], Path]
CAPTIONS = Path(
    os.environ.get("KLING_BATCH_CAPTIONS", Path(__file__).parents[3] / "shared" / "data" / "audiocaps-val.csv")
)


def test_a_csv_has_every_field_of_a_job(write: Write) -> None:
    """Lists split on `;`, `meta.` columns are notes, an empty cell is a field not given."""
    path = write(
        "tavern.csv",
        "id,prompt,duration,takes,formats,tags,edition,file,meta.scene,meta.by\n"
        "door,Door creaks,4,2,wav; mp3,foley;wood ;,3,{meta.scene}/{id}-{take},Front Door,\n"
        "rain,Rain,,,,,,,,\n",
    )
    door, rain = load(path).jobs
    assert (door.project, door.request["duration"], door.takes, door.edition) == ("tavern", 4.0, 2, 3)
    assert (door.formats, door.tags, door.meta) == (("wav", "mp3"), ("foley", "wood"), {"scene": "Front Door"})
    assert load(path).takes[1].stem == "front-door/door-2"
    assert (rain.request["duration"], rain.takes, rain.formats, rain.tags, rain.meta) == (5.0, 1, ("wav",), (), {})


def test_a_cell_may_say_true_or_false(write: Write) -> None:
    """Spreadsheets write it in capitals."""
    rows = "kind,id,video_id,asmr_mode\nvideo-to-audio,a,1,TRUE\nvideo-to-audio,b,2,false\nvideo-to-audio,c,3,\n"
    asked = [job.request["asmr_mode"] for job in load(write("m.csv", rows)).jobs]
    assert asked == [True, False, False]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_may_come_from_any_spreadsheet(write: Write, newline: str, delimiter: str, mark: str) -> None:
    """The same table is the same manifest, whoever saved it."""
    rows = [["prompt", "id"], ['"Rain\n, ; ""heavy"""', "NA"], ["Wind", "007"], ["", ""]]
    text = newline.join(delimiter.join(row) for row in rows).replace("Rain\n", f"Rain{newline}")
    jobs = load(write("m.csv", mark + text)).jobs
    assert [(job.id, job.request["prompt"]) for job in jobs] == [("NA", 'Rain\n, ; "heavy"'), ("007", "Wind")]
    assert jobs[1].source.line == 4


@pytest.mark.parametrize(("before", "delimiter"), [("", ";"), ("", "\t"), ("sep=;\r\n", ";"), ('"SEP=|"\r\n', "|")])
def test_where_no_comma_separates_cells_it_may_be_a_decimal_comma(write: Write, before: str, delimiter: str) -> None:
    """As a spreadsheet of such a country writes it, with or without a line that names the separator; words stay."""
    rows = [["id", "duration", "prompt", "takes"], ["a", "3,5", "Wind, far", "2"], ["b", "10,0", "1,5", "1,0"]]
    manifest = load(write("m.csv", before + "\r\n".join(delimiter.join(row) for row in rows)))
    assert [job.request for job in manifest.jobs] == [
        {"prompt": "Wind, far", "duration": 3.5},
        {"prompt": "1,5", "duration": 10.0},
    ]
    assert (len(manifest.takes), manifest.jobs[1].source.line) == (3, 4 if before else 3)


def test_a_cell_is_found_in_its_physical_line(write: Write, problems: Callable[[Path], list[str]]) -> None:
    """Line and column are those of the file, also after quoted commas and line breaks in the same row."""
    path = write("m.csv", 'id,prompt,meta.a,takes\na,"x\n""y"", z","p,\nq",0\n\n"b",x,"",1001\n')
    assert [each.partition(": ")[0] for each in problems(path)] == ["4:4", "6:10"]


def test_the_project_of_a_table_is_its_name_or_an_option(write: Write) -> None:
    """A CSV cannot name its project: the file's name does, or `--project`, which also wins over a manifest's own."""
    table = "id,prompt\na,x\n"
    assert load(write("Tavern_1.csv", table)).project == "Tavern_1"
    assert load(write("My Tavern (2).csv", table)).project == "my-tavern-2"
    assert load(write("My Tavern (2).csv", table), project="t").takes[0].job.project == "t"
    assert load(write("m.yaml", "version: 1\njobs: [{id: a, prompt: x}]"), project="t").project == "t"


def test_a_name_that_makes_no_project_is_refused(write: Write) -> None:
    """The message names the option that helps."""
    with pytest.raises(UsageError, match="no project's name") as caught:
        load(write("木.csv", "id,prompt\na,x\n"))
    assert "--project" in str(caught.value.hint)
    with pytest.raises(UsageError, match="cannot be a project's name"):
        load(write("m.csv", "id,prompt\na,x\n"), project="../x")


def test_json_has_the_yaml_s_shape(write: Write) -> None:
    """Tabs, escapes and surrogate pairs are JSON's own, and positions are those of the text."""
    path = write(
        "m.json",
        '{\n\t"version": 1, "project": "p",\n\t"jobs": [\n\t\t{"id": 7, "prompt": "\\ud83d\\ude00\\/\\u00e9"}]}',
    )
    job = load(path).jobs[0]
    assert (job.id, job.request["prompt"], job.source.line, job.source.column) == ("7", "😀/é", 4, 3)


def test_json_lines_are_jobs(write: Write) -> None:
    """A job a line, blank lines aside."""
    path = write(
        "birds.jsonl", '{"id": "a", "prompt": "x", "tags": ["t"]}\r\n\r\n{"id": "b", "prompt": "y", "takes": 2}'
    )
    manifest = load(path)
    assert (manifest.project, len(manifest.takes), manifest.jobs[1].source.line) == ("birds", 3, 3)


TABLES = {
    "t.csv": "nr,text,where,other\n1,Owl,Old Wood,\n2,Gull,Shore,\n",
    "t.jsonl": '{"nr": 1, "text": "Owl", "where": "Old Wood"}\n{"nr": 2, "text": "Gull", "where": "Shore", "x": []}\n',
    "t.json": '[{"nr": 1, "text": "Owl", "where": "Old Wood"}, {"nr": "2", "text": "Gull", "where": "Shore"}]',
    "t.yaml": "- {nr: 1, text: Owl, where: Old Wood}\n- {nr: 2, text: Gull, where: Shore}\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_of_a_table_are_jobs_with_the_entry_s_defaults(write: Write, name: str) -> None:
    """`columns` picks and renames; what stands beside `from` holds for every row; the file says where a row is."""
    table = write(f"data/{name}", TABLES[name])
    manifest = load(
        write(
            "m.yaml",
            "version: 1\nproject: p\ndefaults: {meta: {a: b}, edition: 2}\njobs:\n"
            f"  - from: data/{name}\n    columns: {{id: nr, prompt: text, meta.place: where}}\n"
            "    duration: 7\n    tags: [bird]\n    file: '{meta.place}/{id}'\n",
        )
    )
    owl = manifest.jobs[0]
    assert (owl.id, owl.request["prompt"], owl.request["duration"], owl.tags, owl.edition) == (
        "1",
        "Owl",
        7.0,
        ("bird",),
        2,
    )
    assert owl.meta == {"a": "b", "place": "Old Wood"}
    assert [take.stem for take in manifest.takes] == ["old-wood/1", "shore/2"]
    assert owl.source.path == str(table)


def test_problems_of_manifest_and_tables_come_together(write: Write) -> None:
    """One look shows all there is to mend, each in its own file."""
    write("t.csv", "id,prompt,duration\na,x,2\n")
    path = write("m.yaml", "version: 1\nproject: p\njobs:\n  - {id: b, takes: 0, prompt: x}\n  - from: t.csv\n")
    with pytest.raises(ManifestInvalid) as caught:
        load(path)
    assert [(Path(each.path).name, each.line) for each in caught.value.problems] == [("m.yaml", 4), ("t.csv", 2)]


def test_one_missing_column_is_one_problem(write: Write, problems: Callable[[Path], list[str]]) -> None:
    """What is wrong with a whole column is not said again for each of its rows."""
    path = write("m.csv", "id,promt\n" + "".join(f"{n},x\n" for n in range(50)))
    assert len(problems(path)) == 2


@pytest.mark.skipif(not CAPTIONS.exists(), reason="data absent: the captions; set KLING_BATCH_CAPTIONS to the CSV")
def test_two_thousand_real_captions_are_jobs(write: Write) -> None:
    """Captions that people wrote pass through `from` and `columns` as they are."""
    write("captions.csv", CAPTIONS.read_text(encoding="utf-8"))
    manifest = load(
        write(
            "m.yaml",
            "version: 1\nproject: p\njobs:\n  - {from: captions.csv, columns: {id: audiocap_id, prompt: caption}}\n",
        )
    )
    assert (len(manifest.takes), len({take.stem for take in manifest.takes})) == (2475, 2475)
    assert manifest.jobs[0].request["prompt"].startswith("Rustling occurs, ducks quack")


@pytest.mark.parametrize("name", ["nobody.yaml", "folder.yaml", "m.txt", "m"])
def test_a_file_that_cannot_be_read_is_wrong_usage(write: Write, name: str) -> None:
    """The message names the file, and the hint what to do."""
    folder = write("m.txt", "x").parent
    (folder / "folder.yaml").mkdir()
    with pytest.raises(UsageError, match=name) as caught:
        load(folder / name)
    assert caught.value.hint
    assert not isinstance(caught.value, ManifestInvalid)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A manifest's folder beside which a table stands that is not a table."""
    (tmp_path / "secret.csv").write_text("id,prompt\nroot:x:0:0,hidden\n", encoding="utf-8")
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop" / "m.yaml"


def _from(manifest: Path, name: str) -> Path:
    manifest.write_text(f"version: 1\nproject: p\njobs:\n  - from: {name}\n", encoding="utf-8")
    return manifest


def test_a_table_outside_of_the_manifests_folder_is_refused_at_its_line(outside: Path) -> None:
    """By `..` or by a link: nothing of it is repeated, and the words name the option that allows it."""
    (outside.parent / "link.csv").symlink_to("../secret.csv")
    for name in ("../secret.csv", "link.csv"):
        with pytest.raises(ManifestInvalid, match=r"m\.yaml:4:11: `from`: .* leads outside") as caught:
            load(_from(outside, name))
        assert "--allow-outside" in caught.value.message
        assert "x:0:0" not in caught.value.message


def test_a_table_outside_is_read_where_that_is_allowed(outside: Path) -> None:
    """Whoever trusts the manifest may keep tables for several of them in one place."""
    with pytest.raises(ManifestInvalid, match="root:x:0:0"):
        load(_from(outside, "../secret.csv"), allow_outside=True)


def test_a_link_to_a_table_in_the_folder_is_followed(outside: Path) -> None:
    """It leads nowhere else."""
    (outside.parent / "real.csv").write_text("id,prompt\na,x\n", encoding="utf-8")
    (outside.parent / "link.csv").symlink_to("real.csv")
    assert len(load(_from(outside, "link.csv")).takes) == 1


def test_a_manifest_that_is_a_link_to_outside_is_refused(outside: Path) -> None:
    """As its tables: `validate` must not show a stranger's choice of lines."""
    outside.symlink_to("../secret.csv")
    link = outside.with_suffix(".csv")
    link.symlink_to("../secret.csv")
    with pytest.raises(UsageError, match="leads outside") as caught:
        load(link)
    assert "x:0:0" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes")
def test_a_pipe_is_no_table_and_no_manifest(outside: Path) -> None:
    """Nobody may ever write to it: it is refused, not waited for."""
    os.mkfifo(outside.parent / "pipe.csv")
    with pytest.raises(ManifestInvalid, match="a pipe, a socket or a device"):
        load(_from(outside, "pipe.csv"))
    with pytest.raises(UsageError, match="a pipe, a socket or a device"):
        load(outside.parent / "pipe.csv")
