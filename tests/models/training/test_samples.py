from pathlib import Path

import pytest
import torch

from models.training.photos import DataError, PhotoReader, digest, is_held_out, list_photos, list_scored
from models.training.samples import clean_region


def test_one_in_eight_is_held_out_by_name() -> None:
    names = [f"photo-{i}.jpg" for i in range(4000)]
    assert 0.11 < sum(map(is_held_out, names)) / len(names) < 0.14
    # The rule is a promise to everyone who measures, so these are spelled out.
    assert [name for name in names[:60] if is_held_out(name)] == [
        "photo-9.jpg",
        "photo-14.jpg",
        "photo-23.jpg",
        "photo-27.jpg",
    ]


def test_splits_part_a_folder(photo_folder: Path) -> None:
    everything = list_photos(photo_folder, "all")
    train, held_out = list_photos(photo_folder, "train"), list_photos(photo_folder, "holdout")
    assert len(everything) == 12
    assert sorted(train + held_out) == everything
    assert held_out
    assert sorted(p.path for p in list_scored(photo_folder, "holdout")) == held_out
    assert digest(train) == digest(train[::-1]) != digest(held_out)


def test_tables_that_cannot_be_used_are_refused_in_a_sentence(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        list_photos(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no photographs"):
        list_photos(tmp_path)
    with pytest.raises(DataError, match="no table of scores"):
        list_scored(tmp_path)
    for text, sentence in [
        ("image,score\n", "columns image and mos"),
        ("image,mos\na-1.jpg,best\n", "not a number from 0 to 1"),
        ("image,mos\na-1.jpg,1.5\n", "not a number from 0 to 1"),
        ("image,mos\na-1.jpg,0.5\n", "file is missing"),
        ("image,mos\n", "has no photographs"),
    ]:
        (tmp_path / "scores.csv").write_text(text)
        with pytest.raises(DataError, match=sentence):
            list_scored(tmp_path, "all")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(DataError, match="cannot be decoded"):
        PhotoReader().read(tmp_path / "broken.jpg")


def test_the_reader_keeps_within_its_bound(photo_folder: Path) -> None:
    reader = PhotoReader(cache_bytes=2_000_000)
    first, *_ = paths = list_photos(photo_folder, "all")
    assert reader.read(first) is reader.read(first)
    for path in paths:
        assert reader.read(path).dtype == torch.uint8
    assert reader._photos.currsize <= 2_000_000


def test_a_region_is_a_square_of_the_asked_side_at_any_size_of_photograph() -> None:
    for height, width in ((50, 90), (64, 64), (300, 200)):
        photo = torch.randint(256, (3, height, width), dtype=torch.uint8)
        regions = [clean_region(photo, 64, torch.Generator().manual_seed(seed)) for seed in range(6)]
        assert all(region.shape == (3, 64, 64) for region in regions)
        assert all(region.min() >= 0 and region.max() <= 1 for region in regions)
        assert not torch.equal(regions[0], regions[1])
        assert torch.equal(regions[0], clean_region(photo, 64, torch.Generator().manual_seed(0)))
