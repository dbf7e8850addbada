"""``iqa score`` on pictures in a bucket, on a real server of buckets on loopback."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from app.bulk.buckets.named import Named
from app.bulk.buckets.score_parts import ScoreParts
from app.commands.terminal import SOME_FAILED, UNUSABLE
from app.fetching import bucket_files
from app.fetching.bucket_files import BucketFailure, Buckets
from app.fetching.buckets import StoredObject
from tests.app.bucket_server import BucketServer, bucket_server
from tests.app.command_line import invoke, save_crops

pytestmark = pytest.mark.process

_KEYS = ("2024/a.jpg", "2024/b c.jpg", "2024/deeper/ü%20d.JPG", "2024/e.jpg", "2024/f.jpg")
_BROKEN = "2024/z.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """Six pictures, one of which is none, among what is not meant."""
    folder = tmp_path_factory.mktemp("bucket")
    pictures = [path.read_bytes() for path in save_crops(folder, len(_KEYS))]
    with bucket_server(folder / "log.txt") as server:
        server.put("photos")
        for key, picture in zip(_KEYS, pictures, strict=True):
            server.put(f"photos/{key}", picture)
        server.put(f"photos/{_BROKEN}", b"no picture")
        for other in ("2024/readme.txt", "2024/.hidden/a.jpg", "2024b/a.jpg", "2024.jpg"):
            server.put(f"photos/{other}", pictures[0])
        yield server


@pytest.fixture(autouse=True)
def _its_variables(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def _get(key: str) -> bytes:
    return Buckets().read(StoredObject("s3://photos", key))


def _rows(out: str) -> list[dict[str, Any]]:
    parts = [place.key for place in Buckets().below(StoredObject("s3://photos", out))]
    tables = [_get(key) for key in parts if key.endswith(".parquet")]
    return [row for table in tables for row in parquet.read_table(io.BytesIO(table)).to_pylist()]


def test_a_prefix_is_what_lies_below_it(server: BucketServer) -> None:
    prefix = StoredObject("s3://photos", "2024")
    meant = Named([prefix])
    assert [each.key for each in meant] == sorted([*_KEYS, _BROKEN])
    assert meant.count() == len(_KEYS) + 1
    assert meant.count(2) == 2
    assert [each.key for each in Named([StoredObject("s3://photos", "2024.jpg")])] == ["2024.jpg"]
    assert len(list(Named([prefix, StoredObject("s3://photos", _KEYS[0]), prefix]))) == len(_KEYS) + 1
    empty = Named([StoredObject("s3://photos", "none/")])
    assert empty.count() == 0
    assert [failure.problem for failure in empty.failures] == ["There is no image below this prefix."]
    with pytest.raises(BucketFailure, match=r"^s3://none-such/a cannot be .*\.$"):
        list(Named([StoredObject("s3://none-such", "a")]))


def test_parts_are_written_once_and_gone_on_with(
    server: BucketServer, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("score", "s3://photos/2024", "--out", "s3://photos/scores/", "--part-images", 4)
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == SOME_FAILED, result.stderr
    assert "s3://photos/2024/z.jpg: The bytes are not an image" in result.stderr
    assert "6 images scored" not in result.stderr
    first = {key: _get(f"scores/part-00000{key}.parquet") for key in (0, 1)}
    rows = {row["file"]: row for row in _rows("scores")}
    assert list(rows) == [f"s3://photos/{key}" for key in sorted([*_KEYS, _BROKEN])]
    assert rows[f"s3://photos/{_BROKEN}"]["problem"]
    assert all(0 < rows[f"s3://photos/{key}"]["score"] < 1 for key in _KEYS)

    assert invoke(*command, environment=weights_environment).exit_code == UNUSABLE
    gone = dict.fromkeys(weights_environment, "gone")
    nothing = invoke(*command, "--resume", environment=gone)
    assert nothing.exit_code == 0, nothing.stderr
    assert "has 6 images already; 0 are left" in nothing.stderr
    server.put("photos/2024/g.jpg", _get(_KEYS[1]))
    more = invoke(*command, "--resume", environment=weights_environment)
    assert more.exit_code == 0, more.stderr
    assert first == {key: _get(f"scores/part-00000{key}.parquet") for key in (0, 1)}
    names = Counter(row["file"] for row in _rows("scores"))
    assert set(names.values()) == {1}
    assert len(names) == 7
    other = invoke(*command, "--resume", "--models", "bpclip", environment=weights_environment)
    assert "and now bpclip would score" in other.stderr


def test_a_second_program_ends(server: BucketServer, weights_environment: dict[str, str]) -> None:
    out = StoredObject("s3://photos", "twice")
    command = ("score", "s3://photos/2024/a.jpg", "--out", out, "--resume")
    assert invoke(*command, environment=weights_environment).exit_code == 0
    late = ScoreParts(out)
    late._waiting = [{"file": "b.jpg", "problem": "none"}]
    with pytest.raises(Exception, match=r"part-000000\.parquet was written by another program"):
        late.close()
    assert [row["file"] for row in _rows("twice")] == ["s3://photos/2024/a.jpg"]


def test_objects_and_files_share_a_file_on_disk_and_a_report(
    tmp_path: Path, weights_environment: dict[str, str]
) -> None:
    (local,) = save_crops(tmp_path / "photos", 1)
    out, page = tmp_path / "scores.csv", tmp_path / "report.html"
    command = ("score", local, "s3://photos/2024/a.jpg", "s3://photos/2024/deeper", "--out", out)
    result = invoke(*command, "--report", page, environment=weights_environment)
    assert result.exit_code == 0, result.stderr
    with out.open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    assert names == [str(local), "s3://photos/2024/a.jpg", "s3://photos/2024/deeper/ü%20d.JPG"]
    assert page.read_text().count("data:image/jpeg;base64,") == 3 - 1  # the local one is the first object
    again = invoke(*command, "--resume", environment=weights_environment)
    assert "has 3 images already; 0 are left" in again.stderr
    table = invoke(
        "score", "s3://photos/2024/a.jpg", "s3://photos/missing.jpg", environment=weights_environment
    )
    assert table.exit_code == SOME_FAILED
    assert "s3://photos/missing.jpg: There is no image below this prefix." in table.stderr


def test_a_bucket_that_does_not_answer_ends_the_run(
    weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Buckets.read

    def fails(self: Buckets, place: StoredObject, most: int | None = None) -> bytes:
        if place.key.endswith("e.jpg"):
            raise BucketFailure(f"{place} cannot be read: no answer.")
        return real(self, place, most)

    monkeypatch.setattr(bucket_files.Buckets, "read", fails)
    command = ("score", "s3://photos/2024", "--out", "s3://photos/ended/", "--resume")
    result = invoke(*command, environment=weights_environment)
    assert result.exit_code == UNUSABLE
    assert "e.jpg cannot be read: no answer. The same command with --resume" in result.stderr
    monkeypatch.undo()


def test_wrong_usage(server: BucketServer, weights_environment: dict[str, str]) -> None:
    result = invoke("score", "s3://photos/2024", "--server", "http://127.0.0.1:9", "--json")
    assert result.exit_code == UNUSABLE
    assert "--server scores files of this machine" in result.stderr
