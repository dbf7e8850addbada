"""``iqa pick`` on photographs, their copies and their edits, with the bundled weights."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import ImageFilter

from app.commands.pick.changes import move_away, sidecar_of, write_rating
from app.commands.terminal import SOME_FAILED, UNUSABLE
from tests.app.command_line import cut_off, invoke, lines_of_json
from tests.app.picking.pictures import scenes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs with copies of different kinds, and one alone."""
    folder = tmp_path / "photos"
    folder.mkdir()
    coffee, cat = scenes()["coffee"], scenes()["chelsea"]
    coffee.save(folder / "coffee.png")
    coffee.save(folder / "coffee-mail.jpg", quality=20)
    coffee.resize((300, 200)).save(folder / "coffee-small.jpg", quality=90)
    cat.save(folder / "a-cat.jpg", quality=92)
    cat.filter(ImageFilter.GaussianBlur(3)).save(folder / "b-cat.jpg", quality=92)
    scenes()["china"].save(folder / "china.jpg", quality=90)
    return folder


def test_the_best_of_each_group_is_told(folder: Path) -> None:
    before = sorted(folder.iterdir())
    result = invoke("pick", folder, "--json")
    assert result.exit_code == 0, result.stderr
    cats, coffees = lines_of_json(result.stdout)
    assert Path(cats["keep"]).name == "a-cat.jpg"
    assert cats["reason"] == "Sharper than 1 other."
    assert [(Path(each["file"]).name, each["advantage"]) for each in cats["others"]] == [
        ("b-cat.jpg", "sharpness")
    ]
    assert cats["score"] > cats["others"][0]["score"]
    assert Path(coffees["keep"]).name == "coffee.png"
    assert {Path(each["file"]).name for each in coffees["others"]} == {"coffee-mail.jpg", "coffee-small.jpg"}
    assert "6 photographs: 2 groups of near duplicates with 3 to spare." in result.stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_as_tables(folder: Path) -> None:
    rows = list(csv.DictReader(invoke("pick", folder, "--csv").stdout.splitlines()))
    assert [(row["group"], Path(row["file"]).name, row["keep"]) for row in rows] == [
        ("1", "a-cat.jpg", "yes"),
        ("1", "b-cat.jpg", "no"),
        ("2", "coffee.png", "yes"),
        ("2", "coffee-mail.jpg", "no"),
        ("2", "coffee-small.jpg", "no"),
    ]
    shown = invoke("pick", folder).stdout
    assert "keep: Sharper than 1 other." in shown
    assert "china" not in shown


@pytest.mark.slow
def test_ratings_are_written_beside_the_photographs(folder: Path) -> None:
    sidecar_of(folder / "b-cat.jpg").write_text("edits of hours")
    result = invoke("pick", folder, "--xmp")
    assert result.exit_code == 0, result.stderr
    assert "4 sidecars written." in result.stderr
    assert "1 that exist were left as they are" in result.stderr
    assert 'xmp:Rating="5"' in (folder / "coffee.png.xmp").read_text()
    assert 'xmp:Rating="1"' in (folder / "coffee-mail.jpg.xmp").read_text()
    assert (folder / "b-cat.jpg.xmp").read_text() == "edits of hours"
    assert not (folder / "china.jpg.xmp").exists()
    assert "5 sidecars written." in invoke("pick", folder, "--xmp", "--overwrite-xmp").stderr
    assert 'xmp:Rating="1"' in (folder / "b-cat.jpg.xmp").read_text()


def test_a_sidecar_is_xml_with_the_rating_of_xmp(tmp_path: Path) -> None:
    assert write_rating(tmp_path / "a.jpg", 5, overwrite=False)
    description = ElementTree.parse(tmp_path / "a.jpg.xmp").getroot()[0][0]
    assert description.tag == "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    assert description.attrib["{http://ns.adobe.com/xap/1.0/}Rating"] == "5"


@pytest.mark.slow
def test_the_others_are_moved_and_not_looked_at_again(folder: Path) -> None:
    sidecar_of(folder / "b-cat.jpg").write_text("edits of hours")
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    rejected = folder / "rejected"
    rejected.mkdir()
    (rejected / "coffee-mail.jpg").write_bytes(b"of an earlier day")
    result = invoke("pick", folder, "--recursive", "--move", rejected)
    assert result.exit_code == 0, result.stderr
    assert f"3 photographs moved to {rejected}." in result.stderr
    assert {path.name for path in folder.iterdir()} == {"a-cat.jpg", "china.jpg", "coffee.png", "rejected"}
    assert {path.name: path.read_bytes() for path in rejected.iterdir()} == {
        "b-cat.jpg": contents["b-cat.jpg"],
        "b-cat.jpg.xmp": b"edits of hours",
        "coffee-mail.jpg": b"of an earlier day",
        "coffee-mail-2.jpg": contents["coffee-mail.jpg"],
        "coffee-small.jpg": contents["coffee-small.jpg"],
    }
    again = invoke("pick", folder, "--recursive", "--move", rejected)
    assert again.exit_code == 0, again.stderr
    assert "3 photographs: 0 groups of near duplicates with 0 to spare." in again.stderr


def test_what_cannot_be_scored_is_named(folder: Path) -> None:
    cut_off(folder / "china.jpg")
    result = invoke("pick", folder, "--json")
    assert result.exit_code == SOME_FAILED
    assert len(result.stdout.splitlines()) == 2
    assert f"{folder / 'china.jpg'}: " in result.stderr
    assert json.loads(result.stdout.splitlines()[0])


def test_what_cannot_be_moved_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    contents = {path: path.read_bytes() for path in folder.iterdir()}
    rejected = folder.with_name("rejected")
    monkeypatch.setattr("shutil.move", full)
    result = invoke("pick", folder, "--move", rejected)
    assert result.exit_code == SOME_FAILED
    assert "coffee-mail.jpg: It cannot be changed: No space left on device." in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == contents
    assert list(rejected.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--json", "--csv"), "it can only be one of them"),
        (("--overwrite-xmp",), "--overwrite-xmp goes with --xmp."),
        (("--move", "{folder}/china.jpg"), "is a file; --move needs a folder."),
        (("--move", "{folder}/none/rejected"), "There is no folder"),
    ],
)
def test_wrong_options_are_said_before_anything_is_scored(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = invoke("pick", folder, *(each.format(folder=folder) for each in arguments))
    assert result.exit_code == UNUSABLE
    assert sentence in result.stderr
    assert "scoring" not in result.stderr


@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_names_are_found_that_are_free(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "rejected"
    folder.mkdir()
    made: Callable[[str], Path] = lambda text: tmp_path / f"{text}{suffix}"  # noqa: E731
    (folder / f"photo-2{suffix}.xmp").write_text("of a photograph that is gone")
    targets = []
    for number in range(3):
        made("photo").write_text(str(number))
        targets.append(move_away(made("photo"), folder))
    assert [path.name for path in targets] == [f"photo{suffix}", f"photo-3{suffix}", f"photo-4{suffix}"]
    assert [path.read_text() for path in targets] == ["0", "1", "2"]
