"""How the bundled weights answer to faults made on purpose, on photographs that packages carry.

    python -m tests.benchmarks.robustness

Prints, for each ordered type of distortion, the share of (photograph, adjacent levels) in the right order and
of photographs whose worst level scores below the mildest; for the full-reference weights also how near the
scores come to the teachers that they learned from.
"""

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.evaluation import srcc
from models.loading import LoadedModel, load_model
from models.preprocessing import Pixels
from models.training.robustness import ORDERED, ask, spoilt
from models.training.teachers import MEASURES, measure
from tests.photographs import photographs


def main() -> None:
    console = Console()
    quality = {name: load_model(name) for name in ("qualiclip", "bpclip")}
    table = Table("distortion", *(f"{name}: {what}" for name in quality for what in ("adjacent", "worst")))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in quality}
    for distortion in track(ORDERED, "no-reference", console=Console(stderr=True)):
        row = []
        for name, loaded in quality.items():
            answers = ask(lambda image, loaded=loaded: scored(loaded, image), photographs(), distortion)
            found[name].append((answers.adjacent_in_order, answers.worst_below_mildest))
            row += [f"{answers.adjacent_in_order:.2f}", f"{answers.worst_below_mildest:.2f}"]
        table.add_row(distortion, *row)
    means = [np.mean(values, axis=0) for values in found.values()]
    table.add_row("mean", *(f"{value:.3f}" for pair in means for value in pair))
    console.print(table)

    full_reference = load_model("bpclip-fr")
    scores, teachers, identical = [], [], []
    for distortion in track(ORDERED, "full-reference", console=Console(stderr=True)):
        for photo in photographs():
            for image in spoilt(photo, distortion)[1:]:
                scores.append(scored(full_reference, image, photo)[0])
                teachers.append(measure(_unit(image), _unit(photo))[0].tolist())
    identical = [scored(full_reference, photo, photo)[0] for photo in photographs()]
    predicted, columns = np.array(scores), np.array(teachers).T
    for name, column in zip(MEASURES, columns, strict=True):
        console.print(f"full-reference against {name}: SRCC {srcc(predicted, column):.3f}")
    ranks = np.mean([column.argsort().argsort() for column in columns], axis=0)
    console.print(f"full-reference against the teachers' mean rank: SRCC {srcc(predicted, ranks):.3f}")
    console.print(
        f"full-reference of identical pairs: mean {np.mean(identical):.3f}, least {min(identical):.3f}"
    )


@torch.inference_mode()
def scored(loaded: LoadedModel, *images: Pixels) -> tuple[float, list[float]]:
    """The score of an image, or of a distorted image and its reference, and the 40 similarities."""
    preprocessing = loaded.metadata.preprocessing
    output = loaded.module(*(preprocessing.tensor(preprocessing.fit(image)) for image in images))
    return float(output.score[0]), output.similarities[0].tolist()


def _unit(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()
