from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.training.first_opinion import sharpness
from models.training.labels import BAD, GOOD, NAMES
from models.training.photos import DataError, PhotoReader, digest, is_held_out, list_photos, list_scored
from models.training.samples import Groups, Pairs, Rated, RatedCrops, Snapshots


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
    assert reader._held <= 2_000_000


def test_a_group_is_one_photograph_getting_worse(photo_folder: Path) -> None:
    groups = Groups(list_photos(photo_folder), crop=64, views=2, beneath=[1.0], seed=4)
    for index in range(12):
        group = groups[index]
        assert group.images.shape == (2, 2, 3, 64, 64)
        assert group.images.dtype == torch.uint8
        assert group.severity.shape == group.fault.shape == (2,)
        assert group.pair_severity.shape == (20, 2)
        assert group.labels.shape == (2, 20)
        known = group.severity[group.severity >= 0].tolist()
        assert known == sorted(known)


def test_samples_are_functions_of_seed_and_index(photo_folder: Path) -> None:
    paths, scored = list_photos(photo_folder), list_scored(photo_folder)
    for make in (
        lambda seed: Groups(paths, 48, 1, seed=seed),
        lambda seed: Pairs(paths, 48, seed=seed),
        lambda seed: RatedCrops(scored, 48, seed=seed),
    ):
        first, again, other = make(0)[5], make(0)[5], make(1)[5]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], other[0])


def test_an_epoch_sees_every_scored_photograph_once(photo_folder: Path) -> None:
    scored = list_scored(photo_folder, "all")
    crops = RatedCrops(scored, 32)
    seen = sorted(round(float(crops[i].worth), 2) for i in range(len(scored)))
    assert seen == sorted(photo.mos for photo in scored)


def test_pairs_hold_identical_and_spoilt_pictures(photo_folder: Path) -> None:
    pairs = Pairs(list_photos(photo_folder), crop=48, seed=1)
    same = [torch.equal(pair.distorted, pair.reference) for pair in (pairs[i] for i in range(60))]
    assert 1 <= sum(same) <= 20


def test_nothing_is_known_of_a_real_photograph_but_what_was_done_to_it(photo_folder: Path) -> None:
    paths = list_photos(photo_folder)
    groups = Groups(paths[:1], 48, 1, real=paths[1:], real_share=1.0, beneath=[1.0], seed=2)
    labels = torch.cat([groups[i].labels for i in range(40)])
    faults = torch.cat([groups[i].fault for i in range(40)])
    assert (labels != GOOD).all()
    assert (labels == BAD).any()
    assert (faults != len(NAMES)).all(), "untouched it is of no known type"
    assert ((faults >= 0) & (faults < len(NAMES))).any()


def test_faults_are_compounded_up_to_four(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def counted(image: torch.Tensor, name: str, level: int, generator: torch.Generator) -> torch.Tensor:
        done.append(name)
        return image

    monkeypatch.setattr("models.training.samples.distort", counted)
    groups = Groups(list_photos(photo_folder), 48, 1, beneath=[0, 0, 0, 1.0])
    groups[0]
    assert len(done) == 3, "and the one that is varied"
    counts = []
    pairs = Pairs(list_photos(photo_folder), 48)
    for index in range(200):
        done.clear()
        pairs[index]
        counts.append(len(done))
    assert set(counts) == {0, 1, 2, 3, 4}
    assert counts.count(1) > 100


def test_half_of_the_groups_show_neighbouring_levels(photo_folder: Path) -> None:
    # Two of six levels at random are neighbours one time in three.
    groups = Groups(list_photos(photo_folder), 32, 1, beneath=[1.0])
    steps = torch.stack([groups[i].severity for i in range(80)])
    ranked = steps[(steps >= 1).all(dim=1)]
    neighbours = (ranked[:, 1] - ranked[:, 0] == 1).float().mean()
    assert len(ranked) > 20
    assert neighbours > 0.5


def test_a_copy_that_looks_the_same_keeps_its_worth(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = list_scored(photo_folder, "all")
    monkeypatch.setattr("models.training.samples._HARMLESS", 0.0)
    plain = [RatedCrops(scored, 96, seed=3)[i] for i in range(12)]
    monkeypatch.setattr("models.training.samples._HARMLESS", 1.0)
    copies = [RatedCrops(scored, 96, seed=3)[i] for i in range(12)]
    assert [float(sample.worth) for sample in copies] == [float(sample.worth) for sample in plain]
    assert all(sample.image.shape == (3, 96, 96) for sample in copies)
    assert not any(torch.equal(a.image, b.image) for a, b in zip(plain, copies, strict=True))


def test_snapshots_are_worth_what_is_in_them(photo_folder: Path) -> None:
    snapshots = Snapshots(list_photos(photo_folder), crop=96, scale_of=24, seed=5)
    samples = [snapshots[i] for i in range(24)]
    assert all(sample.image.shape == (3, 96, 96) and sample.image.dtype == torch.uint8 for sample in samples)
    worths = torch.stack([sample.worth for sample in samples])
    assert ((worths >= 0) & (worths <= 1)).all()
    assert worths.max() - worths.min() > 0.6
    found = torch.tensor([sharpness(sample.image) for sample in samples])
    assert torch.corrcoef(torch.stack([worths, found]))[0, 1] > 0.8
    again = Snapshots(list_photos(photo_folder), crop=96, scale_of=24, seed=5)[3]
    assert torch.equal(again.image, samples[3].image)
    assert again.worth == samples[3].worth


def test_a_caption_changes_the_picture_and_not_its_worth(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshots(share: float) -> list[Rated]:
        monkeypatch.setattr("models.training.samples._CAPTIONED", share)
        made = Snapshots(list_photos(photo_folder), crop=96, scale_of=8, seed=5)
        return [made[i] for i in range(8)]

    for plain, signed in zip(snapshots(0.0), snapshots(1.0), strict=True):
        assert signed.worth == plain.worth
        assert not torch.equal(signed.image, plain.image)


def test_a_caption_is_the_same_at_all_levels(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def group(share: float) -> Tensor:
        monkeypatch.setattr("models.training.samples._CAPTIONED_GROUPS", share)
        groups = Groups(list_photos(photo_folder), crop=96, views=2, beneath=[1.0], seed=4)
        return groups[2].images.float()

    put = (group(1.0) - group(0.0)).abs().amax(dim=2) > 0  # (views, levels, H, W)
    assert put.any(dim=(-2, -1)).all()
    assert put.float().mean() < 0.1
    assert (put[:, 0] == put[:, 1]).float().mean() > 0.99
