"""Names of any bytes are safe to show: in messages, tables, pages and JSON."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.cli import execute
from distillab.errors import RequestError
from distillab.printable import printable
from distillab.report.page.assets import shared_environment
from distillab.report.page.figures import plain
from distillab.sources import load_dataset
from distillab.sources.folder import Folder
from support.source_files import noise, png

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="file systems elsewhere refuse names of any bytes, or change them"
)

NAMES: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b"caf\xe9", r"caf\xe9"),
    "half of a character": (b"\xe7\x8c", r"\xe7\x8c"),
    "right to left": ("שלום عرب".encode(), "שלום عرب"),
    "override": ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
    "isolates": ("a\u2066b\u2069".encode(), r"a\u2066b\u2069"),
    "newline": (b"a\nb", r"a\nb"),
    "tab and return": (b"a\tb\rc", r"a\tb\rc"),
    "terminal colors": (b"\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    "title of a terminal": (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "C1 control": ("a\x9b31mb".encode(), r"a\x9b31mb"),
    "line separator": ("a\u2028b".encode(), r"a\u2028b"),
    "byte order mark": ("\ufeffa".encode(), r"\ufeffa"),
    "HTML": (b"<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
    "markup of rich": (b"[red]a[bold", "[red]a[bold"),
    "leading dash": (b"--debug", "--debug"),
    "quotes": (b"a'b\"c`d", "a'b\"c`d"),
    "255 bytes": (b"x" * 250, "x" * 250),
    "emoji": ("👩\u200d👧".encode(), "👩\u200d👧"),
    "template": (b"{{ 7 * 7 }} ${HOME}", "{{ 7 * 7 }} ${HOME}"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_unsafe_characters_are_escaped_and_letters_stay(kind: str) -> None:
    name, expected = NAMES[kind]
    assert printable(os.fsdecode(name)) == expected
    assert printable(expected) == expected


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_nothing_unsafe_is_left(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")]
    assert not {*shown} & {*"\u061c\u200e\u200f\u2066\u2067\u2068\u2069\ufeff"}
    assert printable(shown) == shown
    assert printable(text, keep="\n").count("\n") == text.count("\n")


def folder_with(root: Path, name: bytes, *, per_class: int = 14) -> Path:
    """Write class folders, one called ``name``, with a file called the same."""
    for number, each in enumerate((name, b"dog", b"fox")):
        folder = root / "data" / os.fsdecode(each)
        folder.mkdir(parents=True)
        for row, image in enumerate(noise(per_class, number, side=16)):
            file = name[:200] + b".png" if row == 0 and number == 1 else f"{row}.png".encode()
            (folder / os.fsdecode(file)).write_bytes(png(image))
    return root / "data"


@pytest.mark.parametrize("kind", NAMES)
def test_classes_of_any_name_are_read(kind: str, tmp_path: Path) -> None:
    name, expected = NAMES[kind]
    dataset = load_dataset(Folder(path=folder_with(tmp_path, name, per_class=4)))
    assert sorted(dataset.classes) == sorted([expected, "dog", "fox"])
    chosen = load_dataset(Folder(path=tmp_path / "data", classes=[os.fsdecode(name), "dog"]))
    assert set(chosen.classes) == {expected, "dog"}
    (tmp_path / "kept").mkdir()
    dataset.save(tmp_path / "kept")
    assert dataset.open(tmp_path / "kept").digest == dataset.digest


@pytest.mark.parametrize("kind", NAMES)
def test_broken_file_of_any_name_is_named_in_one_line(kind: str, tmp_path: Path) -> None:
    name, expected = NAMES[kind]
    data = folder_with(tmp_path, name, per_class=4)
    (Path(os.fsdecode(os.fsencode(data) + b"/dog/" + name[:200] + b".png"))).write_bytes(b"broken")
    with pytest.raises(RequestError) as caught:
        load_dataset(Folder(path=data))
    message = str(caught.value)
    assert expected[:150] in message
    assert message == printable(message)
    kept = load_dataset(Folder(path=data, on_broken="skip"))
    assert [expected[:150] in broken for broken in kept.report.broken] == [True]


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_text_on_a_page(kind: str) -> None:
    name, expected = NAMES[kind]
    template = shared_environment().from_string('<p title="{{ name }}">{{ name }}</p>{{ name | coded }}')
    html = template.render(name=os.fsdecode(name))
    html.encode()
    assert "<img" not in html
    assert printable(html, keep="\n\t") == html
    assert printable(plain(os.fsdecode(name))) == plain(expected)


def test_study_with_names_of_any_bytes_ends_in_tables_and_a_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whole commands, which take seconds: the edges where names are written lie in all layers."""
    name = b"caf\xe9\n\x1b[31m\xe2\x80\xae<b>"
    folder_with(tmp_path, name)
    here = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9"))
    here.mkdir()
    (here / "study.yaml").write_text(
        "study: t\ndata: {source: folder, path: ../data, resolution: 16}\nteacher: {model: resnet8}\n"
        "students: [resnet8]\nmethods: [ce]\nseeds: 1\nrecipe: {steps: 2, batch_size: 4}\n"
    )
    out = here / "out"
    assert execute(["run", str(here / "study.yaml"), "--out", str(out), "--executor", "inline"]) == 0
    assert execute(["plan", str(here / "study.yaml")]) == 0
    assert execute(["report", str(out)]) == 0
    shown = capfd.readouterr()
    assert "\x1b[31m" not in shown.out + shown.err
    assert "\u202e" not in shown.out + shown.err
    report = (out / "report.html").read_text(encoding="utf-8")
    assert r"caf\xe9\n\x1b[31m\u202e&lt;b&gt;" in report
    assert "\u202e" not in report
    with (out / "results.parquet").open("rb") as file:
        assert pq.read_table(file).num_rows == 1


def test_paths_that_are_no_text_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n\x1b[2J.yaml")
    assert execute(["plan", missing]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.endswith(r"\xff \x1b[2J.yaml: cannot read the study file (No such file or directory)")


def test_json_with_names_of_any_bytes_is_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A whole profile, which takes seconds: names of files and classes are in many of its measures."""
    data = folder_with(tmp_path, b"caf\xe9\x1b[31m", per_class=8)
    assert execute(["profile", str(data), "--json", "--out", str(tmp_path / "page.html")]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert found["images"] == 24
    assert r"caf\xe9\x1b[31m" in json.dumps(found, ensure_ascii=False).replace("\\\\", "\\")
    assert (tmp_path / "page.html").read_text(encoding="utf-8")


def test_two_classes_that_would_be_shown_alike_are_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, b"caf\xe9", per_class=4)
    (tmp_path / "data" / r"caf\xe9").mkdir()
    (tmp_path / "data" / r"caf\xe9" / "a.png").write_bytes(png(noise(1, 9)[0]))
    with pytest.raises(RequestError, match="two classes are shown as"):
        load_dataset(Folder(path=tmp_path / "data"))
