"""The images of two folders that belong together: a copy and its reference, by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bulk.image_files import Meant
from app.printable import shown
from app.scoring.outcomes import FilePair


@dataclass(frozen=True)
class Unmatched:
    """An image, or a folder, that is not compared, and why: a sentence."""

    path: Path
    problem: str


@dataclass(frozen=True)
class Matched:
    """What two folders hold.

    Attributes:
        pairs: in the order of the copies' names.
        unmatched: the rest.
    """

    pairs: tuple[FilePair, ...]
    unmatched: tuple[Unmatched, ...]


def match(references: Path, copies: Path) -> Matched:
    """The images of two folders, and of the folders in them, by their names below these.

    A copy belongs to the reference of the same name, or else to the only one of the same name but for the
    extension. A reference may have several copies that differ in it: a photograph as JPEG and as WebP.
    """
    originals, processed = Meant([references], recursive=True), Meant([copies], recursive=True)
    known = {path.relative_to(references): path for path in originals}
    by_stem: dict[Path, list[Path]] = {}
    for name in known:
        by_stem.setdefault(name.with_suffix(""), []).append(name)
    pairs, unmatched, used = [], [], set()
    for copy in processed:
        name = copy.relative_to(copies)
        candidates = [name] if name in known else by_stem.get(name.with_suffix(""), [])
        if len(candidates) == 1:
            used.add(candidates[0])
            pairs.append(FilePair(known[candidates[0]], copy))
        else:
            unmatched.append(Unmatched(copy, _problem(candidates, references)))
    alone = [path for name, path in known.items() if name not in used]
    unmatched += [Unmatched(path, f"It has no copy in {shown(copies)}.") for path in alone]
    for folder in (originals, processed):
        folder.count()  # that is when it finds out
        unmatched += [Unmatched(failure.local, failure.problem) for failure in folder.failures]
    return Matched(tuple(pairs), tuple(unmatched))


def _problem(candidates: Sequence[Path], references: Path) -> str:
    if not candidates:
        return f"It has no reference in {shown(references)}."
    return f"It has several references in {shown(references)}: {_listed(candidates)}."


def _listed(names: Iterable[Path]) -> str:
    return ", ".join(shown(name) for name in names)
