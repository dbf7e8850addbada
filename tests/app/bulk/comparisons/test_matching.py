"""Which images of two folders belong together."""

from pathlib import Path

from app.bulk.comparisons.matching import match


def _tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def _matched(references: Path, copies: Path) -> tuple[list[tuple[str, str]], dict[str, str]]:
    found = match(references, copies)
    pairs = [
        (each.reference.relative_to(references).as_posix(), each.copy.relative_to(copies).as_posix())
        for each in found.pairs
    ]
    return pairs, {each.path.name: each.problem for each in found.unmatched}


def test_pairs_have_one_name_below_their_folders(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", "a.png", "sub/b.png", "sub/in/c.v2.png")
    other = _tree(tmp_path / "other", "a.png", "sub/b.jpg", "sub/in/c.v2.webp", "notes.txt")
    pairs, unmatched = _matched(one, other)
    assert pairs == [
        ("a.png", "a.png"),
        ("sub/b.png", "sub/b.jpg"),
        ("sub/in/c.v2.png", "sub/in/c.v2.webp"),
    ]
    assert unmatched == {}


def test_what_has_no_partner_is_told_on_both_sides(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", "a.png", "sub/b.png")
    other = _tree(tmp_path / "other", "a.png", "b.png")
    pairs, unmatched = _matched(one, other)
    assert pairs == [("a.png", "a.png")]
    found = match(one, other).unmatched
    assert [(each.path, each.problem) for each in found] == [
        (other / "b.png", f"It has no reference in {one}."),
        (one / "sub/b.png", f"It has no copy in {other}."),
    ]
    assert unmatched["b.png"]


def test_a_reference_may_have_copies_in_several_formats(tmp_path: Path) -> None:
    one, other = _tree(tmp_path / "one", "a.png"), _tree(tmp_path / "other", "a.jpg", "a.webp")
    assert _matched(one, other) == ([("a.png", "a.jpg"), ("a.png", "a.webp")], {})


def test_of_several_references_the_one_of_the_same_name_is_meant_or_none(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", "a.png", "a.jpg", "b.png", "b.tif")
    other = _tree(tmp_path / "other", "a.jpg", "b.webp")
    pairs, unmatched = _matched(one, other)
    assert pairs == [("a.jpg", "a.jpg")]
    assert unmatched["b.webp"] == f"It has several references in {one}: b.png, b.tif."
    assert set(unmatched) == {"b.webp", "a.png", "b.png", "b.tif"}


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    one, other = _tree(tmp_path / "one", "a.png"), _tree(tmp_path / "other", "b.txt")
    pairs, unmatched = _matched(one, other)
    assert pairs == []
    assert "no image" in unmatched["other"]
