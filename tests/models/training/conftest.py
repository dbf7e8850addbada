from pathlib import Path

import pytest
from PIL import Image

from tests.models.training.small_heads import Cells, small_cells
from tests.photographs import named


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs with a table of scores; the names are such that some are held out."""
    folder = tmp_path_factory.mktemp("photos")
    rows = ["image,mos,subset"]
    for turn in range(2):
        for i, (name, pixels) in enumerate(named().items()):
            file = f"{name}-{turn}.jpg"
            Image.fromarray(pixels[:, ::-1] if turn else pixels).save(folder / file, quality=95)
            rows.append(f"{file},{(i + 1) / 10:.2f},{'even' if i % 2 == 0 else 'odd'}")
    (folder / "scores.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def cells(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """Batches of what the encoder sees of a few photographs and their variants."""
    return small_cells(photo_folder, tmp_path_factory.mktemp("cells"))
