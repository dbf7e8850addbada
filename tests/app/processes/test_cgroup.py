"""Control groups, by files as the kernel writes them."""

from pathlib import Path

from app.processes.cgroup import ControlGroup, GroupMemory


def _group(folder: Path, **files: str) -> ControlGroup:
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return ControlGroup(folder)


def test_files_that_can_be_dropped_do_not_count(tmp_path: Path) -> None:
    group = _group(
        tmp_path, memory_max="1000\n", memory_current="900\n", memory_stat="anon 500\ninactive_file 300\n"
    )
    assert group.memory() == GroupMemory(600, 1000)
    assert group.memory(limit=800) == GroupMemory(600, 800)


def test_without_a_limit_or_a_group_nothing_is_known(tmp_path: Path) -> None:
    assert ControlGroup(tmp_path).memory() is None
    assert ControlGroup(tmp_path).memory(limit=5) is None
    assert ControlGroup(tmp_path).out_of_memory_kills() == 0
    group = _group(tmp_path, memory_max="max\n", memory_current="900\n", memory_stat="")
    assert group.memory() is None
    assert group.memory(limit=1800) == GroupMemory(900, 1800)


def test_the_limit_is_told_by_itself(tmp_path: Path) -> None:
    assert ControlGroup(tmp_path).limit_bytes() is None
    for text, limit in (("max\n", None), ("1000\n", 1000), ("nonsense", None)):
        assert _group(tmp_path, memory_max=text).limit_bytes() == limit


def test_kills_for_want_of_memory_are_counted(tmp_path: Path) -> None:
    group = _group(tmp_path, memory_events="low 0\noom 7\noom_kill 3\noom_group_kill 0\n")
    assert group.out_of_memory_kills() == 3
