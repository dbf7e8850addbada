"""How the bundled weights answer to faults made on purpose, on photographs that packages carry.

    python -m tests.benchmarks.robustness

Prints, for each ordered type of distortion, the share of (photograph, adjacent levels) in the right order and
of photographs whose worst level scores below the mildest; for each pair of adjectives the area under the ROC
curve of "this fault is there at level 3 or more"; for the full-reference weights how near the scores come to
the teachers that they learned from.
"""

from collections.abc import Iterator

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from models.adjectives import PAIRS
from models.evaluation import srcc
from models.loading import LoadedModel, load_model
from models.preprocessing import Pixels
from models.training.labels import BAD, NAMES, UNKNOWN, pair_labels
from models.training.robustness import ORDERED, ask, spoilt
from models.training.teachers import MEASURES, measure
from models.weights import ModelName
from tests.photographs import photographs


def main() -> None:
    console = Console()
    quality = {name: load_model(name) for name in ("qualiclip", "bpclip")}
    console.print(order_table(quality))
    console.print(words_table(quality))
    for line in full_reference_lines(load_model("bpclip-fr")):
        console.print(line)


def order_table(quality: dict[ModelName, LoadedModel]) -> Table:
    """Whether scores fall with the level."""
    table = Table("distortion", *(f"{name}: {what}" for name in quality for what in ("adjacent", "worst")))
    means = []
    for distortion in track(ORDERED, "order", console=Console(stderr=True)):
        row: list[float] = []
        for loaded in quality.values():
            answers = ask(lambda image, loaded=loaded: scored(loaded, image), photographs(), distortion)
            row += [answers.adjacent_in_order, answers.worst_below_mildest]
        table.add_row(distortion, *(f"{value:.2f}" for value in row))
        means.append(row)
    table.add_row("mean", *(f"{value:.3f}" for value in np.mean(means, axis=0)))
    return table


def words_table(quality: dict[ModelName, LoadedModel]) -> Table:
    """Whether the words of each pair tell its faults from untouched photographs and from other faults."""
    margins: dict[str, list[list[float]]] = {name: [] for name in quality}
    labels = []
    for name in track(["untouched", *NAMES], "words", console=Console(stderr=True)):
        for photo in photographs():
            levels = range(3, 6) if name != "untouched" else [0]
            images = spoilt(photo, name)[-3:] if name != "untouched" else [photo]
            for level, image in zip(levels, images, strict=True):
                labels.append(pair_labels([(name, level)] if level else []).numpy())
                for model, loaded in quality.items():
                    words = np.array(scored(loaded, image)[1]).reshape(-1, 2)
                    margins[model].append(list(words[:, 1] - words[:, 0]))
    table = Table("pair", *quality)
    means = []
    for place, pair in enumerate(PAIRS):
        truth = np.array(labels)[:, place]
        known = truth != UNKNOWN
        row = [roc_auc_score(truth[known] == BAD, np.array(each)[known, place]) for each in margins.values()]
        table.add_row(f"{pair.positive}/{pair.negative}", *(f"{value:.2f}" for value in row))
        means.append(row)
    table.add_row("median", *(f"{value:.2f}" for value in np.median(means, axis=0)))
    return table


def full_reference_lines(loaded: LoadedModel) -> Iterator[str]:
    """How the full-reference score goes with its teachers, and what identical pairs get."""
    scores, teachers = [], []
    for distortion in track(ORDERED, "full-reference", console=Console(stderr=True)):
        for photo in photographs():
            for image in spoilt(photo, distortion)[1:]:
                scores.append(scored(loaded, image, photo)[0])
                teachers.append(measure(_unit(image), _unit(photo))[0].tolist())
    columns = np.array(teachers).T
    for name, column in zip(MEASURES, columns, strict=True):
        yield f"full-reference against {name}: SRCC {srcc(scores, column):.3f}"
    ranks = np.mean([rankdata(column) for column in columns], axis=0)
    yield f"full-reference against the teachers' mean rank: SRCC {srcc(scores, ranks):.3f}"
    identical = [scored(loaded, photo, photo)[0] for photo in photographs()]
    yield f"full-reference of identical pairs: mean {np.mean(identical):.3f}, least {min(identical):.3f}"


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
