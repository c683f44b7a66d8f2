"""Sheets of .xlsx and .ods files as manifests, and as tables inside of one."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from kling_batch.cli import main
from kling_batch.manifest import load

Cell = str | float | None
Save = Callable[..., Path]

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_OFFICE = "http://schemas.openxmlformats.org"
_MAIN = f"{_OFFICE}/spreadsheetml/2006/main"
_OPEN = "urn:oasis:names:tc:opendocument:xmlns"
HEADER: tuple[Cell, ...] = ("id", "prompt", "duration", "takes", "tags", "meta.scene")
SOUNDS: tuple[tuple[Cell, ...], ...] = (
    HEADER,
    ("door", "Door creaks", 4.5, 2, "foley;wood", "Hall & yard"),
    (7.0, "Rain", 5.0, None, None, None),
)


class Raw(str):
    """The attributes and the content of a cell, as XML."""

    __slots__ = ()


def cells(rows: Sequence[Sequence[Cell]]) -> str:
    """Write rows as the content of an .xlsx sheet."""
    written = ""
    for number, row in enumerate(rows, 1):
        line = ""
        for letter, value in zip("ABCDEFG", row, strict=False):
            if isinstance(value, Raw):
                line += f'<c r="{letter}{number}"{value}</c>'
            elif isinstance(value, str):
                line += f'<c r="{letter}{number}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
            elif value is not None:
                line += f'<c r="{letter}{number}"><v>{value}</v></c>'
        written += f'<row r="{number}">{line}</row>'
    return written


def xlsx(sheets: Mapping[str, str], *, hidden: Sequence[str] = (), after: str = "", shared: str = "") -> bytes:
    """Make an .xlsx of sheets by name, each with its rows as XML; `after` follows the rows of each.

    `shared` is a text that cells of the type `s` share.
    """
    relationships, package = f"{_OFFICE}/officeDocument/2006/relationships", f"{_OFFICE}/package/2006/relationships"
    listed, links = "", ""
    for number, name in enumerate(sheets, 1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{escape(name)}" sheetId="{number}"{state} r:id="rId{number}"/>'
        target = f"worksheets/sheet{number}.xml"
        links += f'<Relationship Id="rId{number}" Type="{relationships}/worksheet" Target="{target}"/>'
    root = f'<Relationship Id="rId1" Type="{relationships}/officeDocument" Target="xl/workbook.xml"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}">{root}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{relationships}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}</Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}"><si><t>{shared}</t></si></sst>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/>'
        "</cellXfs></styleSheet>",
    }
    for number, rows in enumerate(sheets.values(), 1):
        content = f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>'
        parts[f"xl/worksheets/sheet{number}.xml"] = content
    return _archive(parts)


def ods(rows: str) -> bytes:
    """Make an .ods of one sheet, with its rows as XML."""
    spaces = " ".join(f'xmlns:{name}="{_OPEN}:{name}:1.0"' for name in ("office", "table", "text"))
    table = f'<office:spreadsheet><table:table table:name="Sheet1">{rows}</table:table></office:spreadsheet>'
    content = f"<office:document-content {spaces}><office:body>{table}</office:body></office:document-content>"
    listed = f'<manifest:manifest xmlns:manifest="{_OPEN}:manifest:1.0"/>'
    mimetype = "application/vnd.oasis.opendocument.spreadsheet"
    return _archive({"META-INF/manifest.xml": listed, "content.xml": content}, mimetype=mimetype)


def ods_row(row: Sequence[Cell], repeated: int = 1) -> str:
    """Write a row of an .ods sheet, followed by all the empty cells that a sheet has."""
    line = ""
    for value in row:
        if isinstance(value, str):
            line += f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'
        elif value is None:
            line += "<table:table-cell/>"
        else:
            line += f'<table:table-cell office:value-type="float" office:value="{value}"/>'
    line += f'<table:table-cell table:number-columns-repeated="{16384 - len(row)}"/>'
    return f'<table:table-row table:number-rows-repeated="{repeated}">{line}</table:table-row>'


def _archive(parts: Mapping[str, str], **plain: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in plain.items():
            archive.writestr(name, text, zipfile.ZIP_STORED)
        for name, text in parts.items():
            archive.writestr(name, _XML + text)
    return written.getvalue()


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Write files into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: bytes | str) -> Path:
        path = Path(name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


WORKBOOKS = {"tavern.xlsx": xlsx({"Sheet1": cells(SOUNDS)}), "tavern.ods": ods("".join(ods_row(row) for row in SOUNDS))}


@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_workbook_is_the_same_manifest_as_its_table_in_csv(save: Save, name: str) -> None:
    """Every cell is what it shows, an id of 7.0 too, and a job knows its cell."""
    table = 'id,prompt,duration,takes,tags,meta.scene\ndoor,Door creaks,4.5,2,foley;wood,"Hall & yard"\n7,Rain,5,,,\n'
    jobs = load(save(name, WORKBOOKS[name])).jobs
    expected = load(save("tavern.csv", table)).jobs
    assert [(job.project, job.id, job.request, job.takes, job.tags, job.meta) for job in jobs] == [
        (job.project, job.id, job.request, job.takes, job.tags, job.meta) for job in expected
    ]
    assert str(jobs[1].source) == f"{name}:Sheet1!A3"


@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_workbook_can_be_planned(save: Save, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands take it as they take a CSV."""
    save(name, WORKBOOKS[name])
    assert main(["plan", name, "--format", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [f"{take['job_id']}:{take['take']}" for take in plan["takes"]] == ["door:1", "door:2", "7:1"]


def problems_of(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    """Validate a manifest that is wrong."""
    assert main(["validate", name]) == 2
    return capsys.readouterr().out.splitlines()


def test_a_problem_is_told_at_its_cell(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """As a spreadsheet names it, with the sheet, and with what was probably meant."""
    rows = [(*HEADER[:5], "duratoin"), (*SOUNDS[1][:5], None), ("b", "Rain", 99, 0)]
    save("tavern.xlsx", xlsx({"Old": "", "My sounds": cells(rows)}, hidden=["Old"]))
    first, *others = problems_of(capsys, "tavern.xlsx")
    assert first.startswith('tavern.xlsx:My sounds!F1: unknown column "duratoin"; did you mean `duration`? (known: id,')
    assert others == [
        "tavern.xlsx:My sounds!C3: `duration` is 99; wanted is a number from 3.0 to 10.0 with at most one decimal",
        "tavern.xlsx:My sounds!D3: `takes` is 0; wanted is a whole number from 1 to 1000",
    ]


def test_a_sheet_is_chosen_by_its_name(save: Save) -> None:
    """`sheet` beside `from`, with columns as of any table."""
    save("t.xlsx", xlsx({"Sounds": cells(SOUNDS), "Birds": cells([("nr", "call"), ("owl", "Hoot")])}))
    jobs = "  - from: t.xlsx\n  - {from: t.xlsx, sheet: Birds, columns: {id: nr, prompt: call}}\n"
    manifest = load(save("m.yaml", f"version: 1\nproject: p\njobs:\n{jobs}"))
    assert [job.id for job in manifest.jobs] == ["door", "7", "owl"]
    assert [str(job.source) for job in manifest.jobs[1:]] == ["t.xlsx:Sounds!A3", "t.xlsx:Birds!A2"]


def test_a_sheet_that_is_not_there_is_told_where_it_is_named(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """With the name that was probably meant; a table that has no sheets says so."""
    save("t.xlsx", WORKBOOKS["tavern.xlsx"])
    save("t.csv", "id,prompt\na,x\n")
    jobs = "  - {from: t.xlsx, sheet: Shet1}\n  - {from: t.csv, sheet: x}\n"
    save("m.yaml", f"version: 1\nproject: p\njobs:\n{jobs}")
    assert problems_of(capsys, "m.yaml") == [
        'm.yaml:4:27: t.xlsx: unknown sheet "Shet1"; did you mean `Sheet1`? (known: Sheet1)',
        "m.yaml:5:26: t.csv: only a workbook (.xlsx, .ods) has sheets",
    ]


def test_a_cell_without_a_value_that_can_be_used_is_told(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """Dates, formulas that failed or were never worked out, merged cells: where their column is used."""
    rows = cells(
        [
            ("id", "prompt", "takes", "when"),
            (Raw(' s="1"><v>45000</v>'), "x", Raw(' t="e"><f>1/0</f><v>#DIV/0!</v>'), Raw(' s="1"><v>45000</v>')),
            ("b", "y", Raw("><f>1+1</f>"), None),
            ("c", "z", Raw("><f>1+1</f><v>2</v>"), None),
        ]
    )
    save("t.xlsx", xlsx({"S": rows}, after='<mergeCells count="1"><mergeCell ref="B4:B5"/></mergeCells>'))
    save(
        "m.yaml", "version: 1\nproject: p\njobs:\n  - {from: t.xlsx, columns: {id: id, prompt: prompt, takes: takes}}\n"
    )
    assert problems_of(capsys, "m.yaml") == [
        "t.xlsx:S!A2: this is a date or a time (2023-03-15) for the spreadsheet; make it text",
        "t.xlsx:S!C2: the formula of this cell fails",
        "t.xlsx:S!C3: the formula of this cell was saved without its value; open the file in a spreadsheet and save it",
        "t.xlsx:S!B4: cells are merged here; split them, and write the value into each",
    ]


SHARED = Raw(' t="s"><v>0</v>')
BEYOND = "takes more than 2 GiB of memory"
HOSTILE = {
    "far.xlsx": (xlsx({"S": cells([("id",)]) + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'}), BEYOND),
    "wide.xlsx": (xlsx({"S": '<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>1</v></c></row>'}), "16384 columns"),
    "endless.xlsx": (xlsx({"S": cells([[SHARED] * 7] * 10)}, shared="x" * (1 << 20)), "longer than 64 MiB"),
    "nowhere.xlsx": (xlsx({"S": '<row r="x"><c r="A"><v>1</v></c></row>'}), "cannot be read"),
    "empty.xlsx": (xlsx({"S": ""}), "the sheet is empty"),
    "no-sheet.xlsx": (xlsx({}), "cannot be read"),
    "cut.xlsx": (WORKBOOKS["tavern.xlsx"][:-30], "cannot be read"),
    "text.xlsx": (b"id,prompt\na,x\n", "cannot be read"),
    "far.ods": (ods(ods_row(["x"] * 16384, repeated=1048576)), "cannot be read"),
    "empty.ods": (ods(ods_row([], repeated=1048576)), "the sheet is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_workbook_that_cannot_be_read_is_told_in_a_line(
    save: Save, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it does to the program that reads it: no traceback, and no more memory than allowed."""
    content, words = HOSTILE[name]
    save(name, content)
    (problem,) = problems_of(capsys, name)
    assert problem.startswith(f"{name}:")
    assert words in problem


def test_without_the_extra_it_is_said_what_to_do(
    save: Save, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Save the sheet as CSV, or install the extra; the manifest says so where it names a workbook."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    save("t.xlsx", WORKBOOKS["tavern.xlsx"])
    save("m.yaml", "version: 1\nproject: p\njobs:\n  - from: t.xlsx\n")
    assert main(["validate", "t.xlsx"]) == 2
    assert (
        "Save the sheet as CSV UTF-8, or install the extra: pip install 'kling-batch[excel]'" in capsys.readouterr().err
    )
    (problem,) = problems_of(capsys, "m.yaml")
    assert problem.startswith("m.yaml:4:11: `from`: t.xlsx: a workbook is read by the extra `excel`")
    assert "CSV UTF-8" in problem
