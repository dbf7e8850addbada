"""Files of scores: begun, gone on with after any end, finished; each image has one row."""

import json
from collections import Counter
from pathlib import Path

import pytest

from app.bulk.errors import OutputError
from app.bulk.file_formats import encoded
from app.bulk.rows import answer_fields, flat, path_of
from app.bulk.run_manifest import About, Basis, Used, beside, shown_names
from app.bulk.score_file import ScoreFile
from tests.app.bulk.rows import about, basis, failed, scored

SUFFIXES = ["jsonl", "csv", "parquet"]


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"scores.{request.param}"


def _begun(path: Path, count: int = 3) -> ScoreFile:
    output = ScoreFile(path)
    output.begin(about())
    for number in range(count):
        output.append(scored(f"{number}.jpg", number / 10))
    return output


def _files(output: ScoreFile) -> Counter[str]:
    return Counter(row["file"] for row in output.rows())


def test_the_file_appears_when_it_is_finished(path: Path) -> None:
    output = _begun(path)
    assert not path.exists()
    assert [row["score"] for row in output.rows()] == [0.0, 0.1, 0.2]
    done = output.finish()
    assert done.ended is not None
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, beside(path).name]
    assert [row["score"] for row in output.rows()] == [0.0, 0.1, 0.2]
    assert output.about() == About.read(path) == done
    assert output.finish() == done  # nothing is left to do


def test_what_was_begun_is_gone_on_with(path: Path) -> None:
    first = _begun(path)
    first.append(failed("bad.jpg"))
    first.close()
    again = ScoreFile(path)
    assert again.exists
    assert not again.finished
    assert [str(path_of(row)) for row in again.rows() if row.get("problem") is None] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
    ]
    again.go_on(about())
    again.append(scored("bad.jpg"))
    again.append(scored("3.jpg"))
    again.finish()
    assert _files(again) == Counter(["0.jpg", "1.jpg", "2.jpg", "3.jpg", "bad.jpg"])


def test_what_an_earlier_version_began_is_gone_on_with(path: Path) -> None:
    done = [answer_fields(scored("0.jpg", 0.0)), answer_fields(failed("bad.jpg"))]
    about().write(path)
    rows = done if path.suffix == ".jsonl" else [flat(fields) for fields in done]
    part = path.with_name(path.name + ".part.jsonl")
    part.write_bytes(b"".join(map(encoded, rows)) + b'{"file": "torn.jp')
    again = ScoreFile(path)
    assert again.exists
    assert not again.finished
    assert _files(again) == Counter(["0.jpg", "bad.jpg"])
    again.go_on(about())
    again.append(scored("1.jpg"))
    again.close()
    assert _files(ScoreFile(path)) == Counter(["0.jpg", "1.jpg"])
    again.finish()
    assert _files(again) == Counter(["0.jpg", "1.jpg"])
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, beside(path).name]


def test_what_was_finished_is_gone_on_with(path: Path) -> None:
    output = _begun(path)
    output.append(failed("bad.jpg"))
    output.finish()
    before = path.read_bytes()
    again = ScoreFile(path)
    again.go_on(about())
    assert path.read_bytes() == before  # until the new one takes its place
    again.append(scored("3.jpg"))
    again.append(failed("bad.jpg", "The image is still empty."))
    again.finish()
    rows = {row["file"]: row for row in again.rows()}
    assert _files(again) == Counter(["0.jpg", "1.jpg", "2.jpg", "3.jpg", "bad.jpg"])
    assert rows["bad.jpg"]["problem"] == "The image is still empty."
    assert rows["1.jpg"]["score"] == 0.1


def test_an_end_between_the_steps_of_finishing_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = _begun(path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("unlink", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, step, killed)
            try:
                output.finish()
            except KeyboardInterrupt:
                output.close()
        output = ScoreFile(path)
        assert _files(output) == Counter(["0.jpg", "1.jpg", "2.jpg"])
    output.finish()
    assert _files(ScoreFile(path)) == Counter(["0.jpg", "1.jpg", "2.jpg"])
    assert not [each for each in path.parent.iterdir() if "part" in each.name]


def test_a_full_disk_keeps_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = _begun(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            output.finish()
    output.close()
    assert _files(ScoreFile(path)) == Counter(["0.jpg", "1.jpg", "2.jpg"])


def test_another_basis_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    _begun(path).close()

    def refusal(wanted: Basis) -> str:
        with pytest.raises(OutputError) as caught:
            ScoreFile(path).go_on(about(basis=wanted))
        return str(caught.value)

    models = basis().models
    assert "qualiclip, bpclip, and now bpclip would score" in refusal(basis(models=models[1:]))
    other = models[1].model_copy(update={"weights": "mine", "sha256": "f" * 64})
    assert "by the weights bpclip-tiny" in refusal(basis(models=(models[0], other)))
    half = models[1].model_copy(update={"dtype": "bfloat16"})
    assert "computed in float32, not bfloat16" in refusal(basis(models=(models[0], half)))
    assert "no more than 2097152 pixels, not 1000" in refusal(basis(max_scored_pixels=1000))
    assert "it has no verdicts, and now those of upload are asked for" in refusal(basis("upload"))
    assert "scored without --detail-crops, and now with it" in refusal(basis(detail_crops=True))
    output = ScoreFile(path)
    output.go_on(about(basis=basis(models=models[::-1]), named=("photos", "more")))
    output.close()
    assert output.about().named == ("photos", "more")


def test_another_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    judged = about("upload").basis
    output = ScoreFile(path)
    output.begin(about("upload"))
    output.close()
    with pytest.raises(OutputError, match="by the policy upload, and now none are asked for"):
        judged.check(basis(), path)
    with pytest.raises(OutputError, match="by the policy upload, and now those of strict are asked for"):
        judged.check_asked(None, "strict", path)
    assert judged.policy is not None
    changed = judged.policy.model_copy(update={"definition": {"side": 300}})
    with pytest.raises(OutputError, match="the policy upload has been changed since"):
        ScoreFile(path).go_on(about(basis=judged.model_copy(update={"policy": changed})))
    judged.check_asked(("bpclip", "qualiclip"), "upload", path)
    with pytest.raises(OutputError, match="without --detail-crops, and now with it"):
        judged.check_asked(None, "upload", path, detail_crops=True)


def test_without_what_says_where_scores_come_from_nothing_is_gone_on_with(path: Path) -> None:
    _begun(path).finish()
    beside(path).write_text("{}")
    with pytest.raises(OutputError, match="is not what this program writes"):
        ScoreFile(path).about()
    beside(path).unlink()
    with pytest.raises(OutputError, match="says where its scores come from"):
        ScoreFile(path).go_on(about())


def test_all_of_it_can_be_removed(path: Path) -> None:
    _begun(path).finish()
    output = ScoreFile(path)
    output.go_on(about())
    output.close()
    output.remove()
    assert list(path.parent.iterdir()) == []


def test_lines_of_json_are_the_answers(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    _begun(path, 1).finish()
    (line,) = map(json.loads, path.read_bytes().splitlines())
    assert set(line) >= {"file", "score", "models", "image", "warnings", "verdict"}
    assert not {"timing_ms", "batch", "quality_map"} & set(line)


def test_of_very_many_names_the_first_are_told() -> None:
    shown = shown_names([Path(f"{number}.jpg") for number in range(150)])
    assert shown[:2] == ("0.jpg", "1.jpg")
    assert shown[-1] == "... and 50 more"
    assert shown_names([Path("\udcff.jpg")]) == ("\\udcff.jpg",)


def test_weights_have_names() -> None:
    used = Used(name="bpclip", weights="w", sha256="s", license="l", dtype="float32")
    assert basis(models=(used,)).names == ("bpclip",)
