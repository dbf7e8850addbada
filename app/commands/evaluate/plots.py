"""Drawings of what ``iqa evaluate --robustness`` found."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.commands.terminal import fail
from app.printable import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from models.training.robustness import Figures

PLOT_SUFFIXES: Final = (".svg", ".png", ".pdf")

_COLUMNS: Final = 6
_PANEL_INCHES: Final = (2.6, 1.9)
_BAR_INCHES: Final = 0.34  # of height, for each pair of adjectives


def check_plot(path: Path) -> None:
    """Finds out before the work whether its result can be drawn into this file.

    Raises:
        CommandFailure: the suffix is unknown, the file is a folder, or matplotlib is not installed.
    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        fail(
            f"--plot writes {', '.join(PLOT_SUFFIXES[:-1])} and {PLOT_SUFFIXES[-1]}, not {shown(path.name)}."
        )
    if path.is_dir():
        fail(f"{shown(path)} is a folder; --plot names the file to write.")
    if importlib.util.find_spec("matplotlib") is None:
        fail(
            "--plot needs matplotlib of the extra `train`, which is not installed: "
            "pip install 'iqa-service[train]'."
        )


def draw(path: Path, found: Mapping[str, "Figures"], photographs: int) -> None:
    """Draws scores against levels, a panel per distortion, and below them the areas of the words.

    Args:
        path: of the file; its suffix says the format.
        found: by model.
        photographs: how many the figures are of.
    """
    # Without pyplot there is no window to ask a display for, and nothing to be closed.
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for each in found.values() for name in each.curves))
    rows = -(-len(names) // _COLUMNS)
    pairs = list(dict.fromkeys(pair for each in found.values() if each.words for pair in each.words.areas))
    heights = [rows * _PANEL_INCHES[1] + 0.6, len(pairs) * _BAR_INCHES + 1.0]
    figure = Figure(figsize=(_COLUMNS * _PANEL_INCHES[0], sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flatten()
    _draw_curves(above, found, names, rows, photographs)
    _draw_areas(below, found, pairs)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _draw_curves(
    part: "SubFigure", found: Mapping[str, "Figures"], names: list[str], rows: int, photographs: int
) -> None:
    part.suptitle(
        f"Mean score by level, 0 is untouched; photographs: {photographs}; gray: not in the table of orders",
        fontsize=10,
        x=0.01,
        horizontalalignment="left",
    )
    panels = part.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, name in zip(panels, names, strict=False):
        for number, each in enumerate(found.values()):
            if name in each.curves:
                curve = each.curves[name]
                panel.plot(list(curve), list(curve.values()), f"C{number}.-", linewidth=1)
        ordered = any(name in each.order.adjacent for each in found.values())
        panel.set_title(name, fontsize=8, color="black" if ordered else "gray")
        panel.set(xlim=(-0.2, 5.2), ylim=(0, 1), xticks=range(6))
        panel.tick_params(labelsize=7)
    for panel in panels[len(names) :]:
        panel.remove()
    _add_legend(part, found)


def _draw_areas(part: "SubFigure", found: Mapping[str, "Figures"], pairs: list[str]) -> None:
    if not pairs:
        return
    part.suptitle(
        "Words: area under the ROC curve of each pair's faults at level 3 or more",
        fontsize=10,
        x=0.01,
        horizontalalignment="left",
    )
    panel: Axes = part.subplots()
    words = {name: each.words for name, each in found.items() if each.words is not None}
    height = 0.8 / len(words)
    for number, (name, each) in enumerate(words.items()):
        places = [place + number * height - 0.4 + height / 2 for place in range(len(pairs))]
        color = f"C{list(found).index(name)}"
        panel.barh(places, [each.areas[pair] for pair in pairs], height, color=color)
    panel.set_yticks(range(len(pairs)), pairs, fontsize=8)
    panel.set(xlim=(0, 1), ylim=(len(pairs) - 0.5, -0.5))
    panel.axvline(0.5, color="gray", linewidth=1, linestyle="--")  # chance


def _add_legend(part: "SubFigure", found: Mapping[str, "Figures"]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=f"C{number}", label=name) for number, name in enumerate(found)]
    part.legend(handles=lines, loc="outside upper right", ncols=len(lines), fontsize=8)
