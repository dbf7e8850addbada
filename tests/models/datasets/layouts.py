"""Tiny folders laid out as the published data sets are; the labels are made up, worse for worse copies."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openpyxl import Workbook
from PIL import Image, ImageFilter
from scipy.io import savemat

from tests.photographs import named

COPIES = 6
"""Images to be measured on, of each data set."""
_SIDE = 96


def _picture(place: int) -> Image.Image:
    """A photograph, blurred the more the higher the place; 0 is untouched."""
    pixels = named()["chelsea"][60 : 60 + _SIDE, 120 : 120 + _SIDE]
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(place / 2))


def _save(path: Path, place: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    _picture(place).save(path)
    return path.name


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _sheet(path: Path, rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    if title is not None:
        sheet.title = title
    for row in rows:
        sheet.append(row)
    book.save(path)


def _koniq(folder: Path) -> None:
    sets = ["test"] * COPIES + ["training", "validation"]
    rows = [
        (_save(folder / "1024x768" / f"{place}.jpg", place), 0, 0, 0, 0, 0, 100, 90 - place, 0.5, sets[place])
        for place in range(len(sets))
    ]
    header = ("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set")
    _table(folder / "koniq10k_distributions_sets.csv", header, rows)


def _spaq(folder: Path) -> None:
    rows = [
        (_save(folder / "TestImage" / f"{place:05}.jpg", place), 90 - place, 1) for place in range(COPIES)
    ]
    header = ("Image name", "MOS", "Brightness")
    _sheet(folder / "Annotations" / "MOS and Image attribute scores.xlsx", [header, *rows])


def _clive(folder: Path) -> None:
    shown_first = [_save(folder / "Images" / "trainingImages" / f"t{place}.bmp") for place in range(1, 8)]
    names = [_save(folder / "Images" / f"{place}.bmp", place) for place in range(COPIES)]
    cells = np.array([[name] for name in [*shown_first, *names]], dtype=object)
    scores = np.array([[1.0] * 7 + [90.0 - place for place in range(COPIES)]])
    (folder / "Data").mkdir()
    savemat(folder / "Data" / "AllImages_release.mat", {"AllImages_release": cells})
    savemat(folder / "Data" / "AllMOS_release.mat", {"AllMOS_release": scores})


def _kadid(folder: Path) -> None:
    reference = _save(folder / "images" / "I01.png")
    rows = [
        (_save(folder / "images" / f"I01_01_{place:02}.png", place), reference, 5 - place / 2, 0.5)
        for place in range(1, COPIES + 1)
    ]
    _table(folder / "dmos.csv", ("dist_img", "ref_img", "dmos", "var"), rows)


def _tid2013(folder: Path) -> None:
    _save(folder / "reference_images" / "I01.BMP")
    names = [
        _save(folder / "distorted_images" / f"i01_01_{place}.bmp", place) for place in range(1, COPIES + 1)
    ]
    lines = [f"{7 - place / 2:.5f} {name.replace('i', 'I')}" for place, name in enumerate(names)]
    (folder / "mos_with_names.txt").write_text("\n".join(lines) + "\n")


def _live(folder: Path) -> None:
    _save(folder / "refimgs" / "bikes.bmp")
    scores, copies = np.zeros((1, 982)), np.ones((1, 982))
    for place in range(1, COPIES + 1):  # the second kind, so that the first has only copies of references
        _save(folder / "jpeg" / f"img{place}.bmp", place)
        scores[0, 227 + place - 1], copies[0, 227 + place - 1] = 10.0 * place, 0
    savemat(folder / "dmos.mat", {"dmos": scores, "orgs": copies})
    names = np.array([["bikes.bmp"] * 982], dtype=object)
    savemat(folder / "refnames_all.mat", {"refnames_all": names})


def _csiq(folder: Path) -> None:
    _save(folder / "src_imgs" / "1600.png")
    kinds = (("noise", "awgn", "AWGN"), ("jpeg 2000", "jpeg2000", "jpeg2000"))
    rows: list[Sequence[Any]] = [
        ("CSIQ",),
        (),
        (),
        (None, "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"),
    ]
    for place in range(1, COPIES + 1):
        title, below, kind = kinds[place % 2]
        _save(folder / "dst_imgs" / below / f"1600.{kind}.{place}.png", place)
        rows.append((None, 1600, 1, title, place, 0.1, place / 10))
    _sheet(folder / "csiq.DMOS.xlsx", rows, "all_by_image")


def _pipal(folder: Path) -> None:
    _save(folder / "Train_Ref" / "A0000.bmp")
    names = [
        _save(folder / f"Distortion_{1 + place % 2}" / f"A0000_00_{place:02}.bmp", place)
        for place in range(1, COPIES + 1)
    ]
    lines = [f"{name},{1600 - 10 * place}" for place, name in enumerate(names)]
    (folder / "Train_Label").mkdir()
    (folder / "Train_Label" / "A0000.txt").write_text("\n".join(lines) + "\n")


def _biq2021(folder: Path) -> None:
    names = [_save(folder / "Images" / f"ss01 ({place}).jpg", place) for place in range(COPIES + 1)]
    rows = [(name, 0.9 - place / 10) for place, name in enumerate(names)]
    _table(folder / "Test (Images and MOS).csv", ("Image Name", "MOS"), rows[:COPIES])
    _table(folder / "Train (Images and MOS).csv", ("Image Name", "MOS"), rows[COPIES:])


_LAYOUTS: Mapping[str, Callable[[Path], None]] = {
    "koniq-10k": _koniq,
    "spaq": _spaq,
    "clive": _clive,
    "kadid-10k": _kadid,
    "tid2013": _tid2013,
    "live": _live,
    "csiq": _csiq,
    "pipal": _pipal,
    "biq2021": _biq2021,
}


def lay_out(name: str, folder: Path) -> Path:
    """A new folder like that of the data set."""
    folder.mkdir()
    _LAYOUTS[name](folder)
    return folder
