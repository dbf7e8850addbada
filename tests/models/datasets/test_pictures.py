"""Each data set, as published: its images, what people said of them, and what can be wrong with a folder."""

from pathlib import Path

import pytest

from models.datasets.known import DATASETS
from models.datasets.labels import LayoutError
from models.datasets.pictures import locate
from models.datasets.published import published_figures
from tests.models.datasets.layouts import COPIES, lay_out

pytestmark = pytest.mark.pure

_OF_PAIRS = {"kadid-10k", "tid2013", "live", "csiq", "pipal"}
_LABELS = {
    "koniq-10k": "koniq10k_distributions_sets.csv",
    "spaq": "Annotations/MOS and Image attribute scores.xlsx",
    "clive": "Data/AllMOS_release.mat",
    "kadid-10k": "dmos.csv",
    "tid2013": "mos_with_names.txt",
    "live": "dmos.mat",
    "csiq": "csiq.DMOS.xlsx",
    "pipal": "Train_Label/A0000.txt",
    "biq2021": "Test (Images and MOS).csv",
}


@pytest.mark.parametrize("name", DATASETS)
def test_all_images_are_found_and_worse_copies_have_lower_targets(name: str, tmp_path: Path) -> None:
    folder = lay_out(name, tmp_path / "data")
    found = locate(DATASETS[name], folder)
    assert (found.missing, found.surplus) == ((), ())
    assert len(found.pictures) == COPIES
    assert found.split == ("test" if name in ("koniq-10k", "biq2021") else "all")
    targets = [picture.target for picture in found.pictures]
    assert sorted(targets, reverse=True) == targets
    assert len(set(targets)) == COPIES
    assert all(picture.path.is_file() for picture in found.pictures)
    for picture in found.pictures:
        assert (picture.reference is not None) == (name in _OF_PAIRS)
        assert picture.reference is None or picture.reference.is_file()


@pytest.mark.parametrize("name", DATASETS)
def test_labels_that_are_missing_or_garbled_are_named_with_the_layout(name: str, tmp_path: Path) -> None:
    folder = lay_out(name, tmp_path / "data")
    labels = folder / _LABELS[name]
    labels.write_bytes(b"this is, not a, table\n")
    with pytest.raises(LayoutError, match="as published has"):
        locate(DATASETS[name], folder)
    labels.unlink()
    with pytest.raises(LayoutError, match=r"There (is|are) no file"):
        locate(DATASETS[name], folder)


@pytest.mark.parametrize("name", DATASETS)
def test_missing_and_surplus_images_are_named(name: str, tmp_path: Path) -> None:
    folder = lay_out(name, tmp_path / "data")
    first = locate(DATASETS[name], folder).pictures[0]
    first.path.rename(first.path.with_name("unknown.png"))
    found = locate(DATASETS[name], folder)
    assert found.missing == (first.name,)
    assert [Path(each).name for each in found.surplus] == ["unknown.png"]
    assert len(found.pictures) == COPIES - 1


def test_official_splits_and_samples(tmp_path: Path) -> None:
    folder = lay_out("koniq-10k", tmp_path / "data")
    koniq = DATASETS["koniq-10k"]
    sizes = {split: len(locate(koniq, folder, split).pictures) for split in ("train", "validation", "all")}
    assert sizes == {"train": 1, "validation": 1, "all": COPIES + 2}
    some = locate(koniq, folder, limit=3).pictures
    assert some == locate(koniq, folder, limit=3).pictures
    assert set(some) < set(locate(koniq, folder).pictures)
    assert len(some) == 3
    with pytest.raises(LayoutError, match="no official split test; it has none"):
        locate(DATASETS["tid2013"], lay_out("tid2013", tmp_path / "tid"), "test")


def test_published_figures_are_of_known_data_sets_and_say_who_published_them() -> None:
    rows = published_figures()
    assert {row.dataset for row in rows} <= set(DATASETS)
    for row in rows:
        assert row.split == ("test" if row.dataset == "koniq-10k" else "all")
        assert row.by
        assert "/" in row.source
        for figure in (row.srcc, row.plcc, row.krcc):
            assert figure is None or 0 < figure < 1
