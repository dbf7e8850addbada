"""What ``iqa pick`` does to files: ratings in sidecars, and photographs moved. Nothing is deleted."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.files import write_atomically

KEPT_RATING: Final = 5
OTHER_RATING: Final = 1

_XMP: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{rating}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of a photograph is: ``photo.jpg.xmp``, so that ``photo.png`` has another one."""
    return path.with_name(path.name + ".xmp")


def write_rating(path: Path, rating: int, *, overwrite: bool) -> bool:
    """Writes the sidecar of a photograph; whether it did.

    Args:
        path: of the photograph.
        rating: 1 to 5.
        overwrite: whether a sidecar that exists is replaced.

    Raises:
        OSError: it cannot be written.
    """
    content = _XMP.format(rating=rating).encode()
    if overwrite:
        write_atomically(sidecar_of(path), content)
        return True
    try:
        with sidecar_of(path).open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def move_away(path: Path, folder: Path) -> Path:
    """Moves a photograph into a folder, with its sidecar, and returns where it is now.

    Where the folder has a file of that name, the photograph gets a number: ``photo-2.jpg``.

    Raises:
        OSError: it cannot be moved; then it is where it was.
    """
    for name in _names(path):
        target = folder / name
        if target.exists() or sidecar_of(target).exists():
            continue
        target.touch(exist_ok=False)  # the name is ours, also where a second program moves files here
        try:
            shutil.move(path, target)
        except BaseException:
            if path.exists():
                target.unlink(missing_ok=True)  # a part of a copy, or nothing
            raise
        if sidecar_of(path).is_file():
            shutil.move(sidecar_of(path), sidecar_of(target))
        return target
    raise AssertionError("there is always another number")


def _names(path: Path) -> Iterator[str]:
    yield path.name
    number = 2
    while True:
        yield f"{path.stem}-{number}{path.suffix}"
        number += 1
