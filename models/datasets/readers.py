"""The readers of the data sets: from a folder as published to what its labels say, a row per image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.datasets.labels import (
    LabeledImage,
    LayoutError,
    csv_rows,
    matrix,
    number,
    sheet_rows,
    text_rows,
)

_KONIQ_SETS: Final[Mapping[str, str]] = {"training": "train", "validation": "validation", "test": "test"}
_CLIVE_TRAINING: Final = 7  # the first images were shown to observers for training
_LIVE_FOLDERS: Final = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
"""In the order of the arrays of labels, with the number of images in each."""
_CSIQ_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "noise": ("awgn", "AWGN"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
    "fnoise": ("fnoise", "fnoise"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
}
"""A distortion's folder, and what file names call it."""


def koniq(folder: Path) -> list[LabeledImage]:
    """KonIQ-10k, with the official sets. MOS of 0 to 100."""
    path = folder / "koniq10k_distributions_sets.csv"
    return [
        LabeledImage(row["image_name"], number(row["MOS"], path), split=_KONIQ_SETS.get(row["set"], ""))
        for row in csv_rows(path, "image_name", "MOS", "set")
    ]


def spaq(folder: Path) -> list[LabeledImage]:
    """SPAQ. MOS of 0 to 100."""
    path = folder / "Annotations" / "MOS and Image attribute scores.xlsx"
    return [
        LabeledImage(str(row["Image name"]), number(row["MOS"], path))
        for row in sheet_rows(path, None, "Image name", "MOS")
    ]


def clive(folder: Path) -> list[LabeledImage]:
    """LIVE In the Wild, without the images that trained the observers. MOS of 0 to 100."""
    path = folder / "Data" / "AllMOS_release.mat"
    names = matrix(folder / "Data" / "AllImages_release.mat", "AllImages_release")
    scores = matrix(path, "AllMOS_release")
    if len(names) != len(scores):
        raise LayoutError(f"{path.name} has {len(scores)} scores for {len(names)} images.")
    return [
        LabeledImage(str(name), number(score, path))
        for name, score in zip(names[_CLIVE_TRAINING:], scores[_CLIVE_TRAINING:], strict=True)
    ]


def kadid(folder: Path) -> list[LabeledImage]:
    """KADID-10k. What its column dmos holds is 1 to 5 and higher for better images."""
    path = folder / "dmos.csv"
    return [
        LabeledImage(row["dist_img"], number(row["dmos"], path), row["ref_img"])
        for row in csv_rows(path, "dist_img", "ref_img", "dmos")
    ]


def tid2013(folder: Path) -> list[LabeledImage]:
    """TID2013. MOS of 0 to 9."""
    path = folder / "mos_with_names.txt"
    return [
        LabeledImage(name, number(score, path), f"{name.partition('_')[0]}.bmp")
        for score, name in text_rows(path)
    ]


def live(folder: Path) -> list[LabeledImage]:
    """LIVE, release 2. DMOS of 0 to 100; the copies of references among the images are not measured on."""
    path = folder / "dmos.mat"
    names = [f"{kind}/img{place}.bmp" for kind, size in _LIVE_FOLDERS.items() for place in range(1, size + 1)]
    references = matrix(folder / "refnames_all.mat", "refnames_all")
    scores, copies = matrix(path, "dmos"), matrix(path, "orgs")
    if {len(references), len(scores), len(copies)} != {len(names)}:
        raise LayoutError(
            f"{path.name} or refnames_all.mat is not of release 2, which has {len(names)} images."
        )
    return [
        LabeledImage(name, None if copy else number(score, path), str(reference))
        for name, reference, score, copy in zip(names, references, scores, copies, strict=True)
    ]


def csiq(folder: Path) -> list[LabeledImage]:
    """CSIQ. DMOS of 0 to 1."""
    path = folder / "csiq.DMOS.xlsx"
    found = []
    for row in sheet_rows(path, "all_by_image", "image", "dst_type", "dst_lev", "dmos"):
        if row["dst_type"] not in _CSIQ_KINDS:
            raise LayoutError(f"{path.name} names a distortion {row['dst_type']!r}, which CSIQ has not.")
        below, kind = _CSIQ_KINDS[row["dst_type"]]
        image, level = row["image"], int(number(row["dst_lev"], path))
        name = f"{below}/{image}.{kind}.{level}.png"
        found.append(LabeledImage(name, number(row["dmos"], path), f"{image}.png"))
    return found


def pipal(folder: Path) -> list[LabeledImage]:
    """PIPAL, the part with public labels. Elo scores."""
    tables = sorted((folder / "Train_Label").glob("*.txt"))
    if not tables:
        raise LayoutError(f"There are no files of labels in {folder / 'Train_Label'}.")
    return [
        LabeledImage(name, number(score, path), f"{name.partition('_')[0]}.bmp")
        for path in tables
        for name, score in text_rows(path, ",")
    ]


def biq2021(folder: Path) -> list[LabeledImage]:
    """BIQ2021, with the official sets. MOS of 0 to 1."""
    tables = {
        "train": folder / "Train (Images and MOS).csv",
        "test": folder / "Test (Images and MOS).csv",
    }
    return [
        LabeledImage(row["Image Name"], number(row["MOS"], path), split=split)
        for split, path in tables.items()
        for row in csv_rows(path, "Image Name", "MOS")
    ]
