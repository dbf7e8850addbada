"""The cache of what the encoder sees: right, resumable, its own for every data."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from models.backbones.efficientnet import EfficientNetLite
from models.backbones.feature_maps import cell_means
from models.bpclip.gated_pooling import smooth_abs
from models.training.cells import CellEncoder, PairEncoder, PhotographVariants, WholePhotographs, look_at
from models.training.encoder import imagenet_encoder, normalized, standardized_on
from models.training.photos import DataError, list_photos


@pytest.fixture(scope="module")
def network(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> EfficientNetLite:
    kept = tmp_path_factory.mktemp("standardization")
    return standardized_on(imagenet_encoder(), list_photos(photo_folder)[:4], kept=kept, quiet=True)


@pytest.fixture
def pictures(photo_folder: Path) -> PhotographVariants:
    paths = tuple(list_photos(photo_folder)[:3])
    return PhotographVariants(paths, 64, chains=1, parts=1, compounds=0, good=True)


def test_cells_are_those_of_the_plain_network(
    pictures: PhotographVariants, network: EfficientNetLite, tmp_path: Path
) -> None:
    found = look_at(pictures, CellEncoder(network), tmp_path, quiet=True)
    assert found.shape == (3, 6, 2, 2, 1024)
    assert found.dtype == np.float16
    made = pictures.make(1)
    assert made.shape == (6, 3, 64, 64)
    with torch.inference_mode():
        expected = cell_means(network.features(normalized(made))).permute(0, 2, 3, 1)
    torch.testing.assert_close(torch.from_numpy(found[1].copy()).float(), expected, atol=2e-3, rtol=2e-3)


def test_pairs_hold_both_pictures_and_their_differences(
    pictures: PhotographVariants, network: EfficientNetLite, tmp_path: Path
) -> None:
    found = look_at(pictures, PairEncoder(network), tmp_path, quiet=True)
    assert found.shape == (3, 6, 2, 2, 1536)
    with torch.inference_mode():
        maps = network.features(normalized(pictures.make(2)))
        expected = [
            F.avg_pool2d(kind, kind.shape[-1] // 2)
            for values in maps
            for kind in (values, values[:1].expand_as(values), smooth_abs(values - values[:1]))
        ]
    seen = torch.from_numpy(found[2].copy()).float().permute(0, 3, 1, 2)
    torch.testing.assert_close(seen, torch.cat(expected, dim=1), atol=4e-3, rtol=4e-3)


def test_others_get_more_light_only_where_they_are_bright(tmp_path: Path) -> None:
    for name, gray in (("dark", 60), ("bright", 160)):
        Image.new("RGB", (96, 96), (gray, gray, gray)).save(tmp_path / f"{name}.png")
    paths = (tmp_path / "dark.png", tmp_path / "bright.png")
    plans = PhotographVariants(paths, 64, chains=3, parts=0, compounds=0, good=False).plans
    assert [[chain.name for chain in each.chains[:2]] for each in plans] == [
        ["export-jpeg", "dimming"],
        ["export-jpeg", "gain"],
    ]


def test_what_is_there_is_not_made_again(
    pictures: PhotographVariants,
    network: EfficientNetLite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    make = PhotographVariants.make

    def fails_at_the_third(self: PhotographVariants, index: int) -> torch.Tensor:
        made.append(index)
        if made == [0, 1, 2]:
            raise KeyboardInterrupt
        return make(self, index)

    monkeypatch.setattr(PhotographVariants, "make", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        look_at(pictures, CellEncoder(network), tmp_path, quiet=True)
    first = look_at(pictures, CellEncoder(network), tmp_path, quiet=True)
    assert made == [0, 1, 2, 2]
    assert np.array_equal(look_at(pictures, CellEncoder(network), tmp_path, quiet=True), first)
    assert made == [0, 1, 2, 2]
    assert first.any(axis=(1, 2, 3, 4)).all()


def test_another_encoder_or_other_photographs_have_a_cache_of_their_own(
    photo_folder: Path, network: EfficientNetLite, tmp_path: Path
) -> None:
    paths = tuple(list_photos(photo_folder)[:2])
    first = look_at(WholePhotographs(paths, side=64), CellEncoder(network), tmp_path, quiet=True)
    swapped = look_at(WholePhotographs(paths[::-1], side=64), CellEncoder(network), tmp_path, quiet=True)
    assert np.array_equal(swapped[::-1], first)
    plain = look_at(WholePhotographs(paths, side=64), CellEncoder(imagenet_encoder()), tmp_path, quiet=True)
    assert not np.array_equal(plain, first)


@pytest.mark.process
def test_worker_processes_make_the_same(
    pictures: PhotographVariants, network: EfficientNetLite, tmp_path: Path
) -> None:
    alone = look_at(pictures, CellEncoder(network), tmp_path / "alone", quiet=True)
    helped = look_at(pictures, CellEncoder(network), tmp_path / "helped", workers=2, quiet=True)
    np.testing.assert_allclose(helped.astype(np.float32), alone.astype(np.float32), atol=2e-3, rtol=2e-3)


def test_a_photograph_that_cannot_be_decoded_is_named(network: EfficientNetLite, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be decoded"):
        look_at(WholePhotographs((tmp_path / "broken.jpg",)), CellEncoder(network), tmp_path, quiet=True)
