"""Sets of paths: nothing is in them that was not added, and all that was."""

from pathlib import Path

from app.bulk.path_set import PathSet


def test_a_path_is_added_once() -> None:
    with PathSet() as held:
        paths = [Path(f"photos/{number}.jpg") for number in range(1000)]
        assert all(held.add(path) for path in paths)
        assert not any(held.add(path) for path in paths)
        assert len(held) == 1000
        assert all(path in held for path in paths)
        assert not any(Path("others") / path in held for path in paths)


def test_paths_need_not_be_utf8() -> None:
    with PathSet() as held:
        held.add(Path("photos/\udcff.jpg"))
        assert Path("photos/\udcff.jpg") in held
        assert Path("photos/\udcfe.jpg") not in held
