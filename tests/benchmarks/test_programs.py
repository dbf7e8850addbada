"""The programs that measure, each for a moment on tiny weights: they run and count right; no time."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import ceiling, serving
from tests.benchmarks.ceiling import Ceiling
from tests.benchmarks.harness import blocks_for, parser, plan, repeated
from tests.benchmarks.traces import BLOCK, make

pytestmark = pytest.mark.process

SHORT = ["--quick", "--size", "compact", "--threads", "1", "--connections", "4"]


@pytest.fixture(autouse=True)
def _tiny_weights(weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in weights_environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For what computes in this process: the number of threads is a setting of all of it."""
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("IQA_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_the_ceiling_scores_every_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_BATCH_PIXELS", str(2 * 3 * 64 * 48))
    held = Ceiling()
    uploads = make("64x48", blocks=1)
    before = held.local.engine.tally.useful
    run = held.run(uploads, depth=5)
    # Two models; BPCLIP's grid of 32 makes 64 rows of 48.
    assert held.local.engine.tally.useful - before >= BLOCK * 2 * 64 * 48
    assert run.images == BLOCK
    assert BLOCK / 3 <= run.batches <= BLOCK  # the budget has room for three
    assert run.rate == run.images / run.seconds
    alone = held.alone(uploads[:3])
    assert len(alone.decode_ms) == len(alone.inference_ms) == len(alone.total_ms) == 3


@pytest.mark.usefixtures("one_thread")
def test_the_ceiling_does_not_pass_over_a_damaged_image() -> None:
    (first, *_) = make("64x48", blocks=1)
    damaged = type(first)(first.data[:200], first.type, first.width, first.height, first.kind)
    with pytest.raises(Exception, match="truncated or damaged"):
        Ceiling().run([first, damaged], depth=2)


def test_the_ceiling_in_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--trace", "64x48", "--blocks", "1", "--rounds", "2", "--depth", "3", "--threads", "1"]
    ceiling.main([*arguments, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert [round["images"] for round in printed["rounds"]] == [BLOCK, BLOCK]
    assert printed["about"]["threads"] == 1
    assert printed["about"]["dtypes"].keys() == {"qualiclip", "bpclip"}


def test_what_goes_wrong_in_that_process_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IQA_BPCLIP_WEIGHTS", str(tmp_path / "missing"))
    with pytest.raises(Exception, match="There is no weights file"), ceiling.remote({}):
        pass


def test_the_service_against_its_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    serving.main([*SHORT, "--trace", "64x48", "--alone", "3", "--out", str(out)])
    assert "Saturation" in capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert figures["machine"]["cores"] >= 1
    (trace,) = figures["traces"]
    assert trace["trace"] == "64x48"
    assert [run["images"] for run in trace["ceiling"]] == [BLOCK]
    assert _statuses(trace["closed"]) == _statuses([trace["open"]]) == [{"200": BLOCK}]
    assert trace["ratio"] == pytest.approx(trace["closed"][0]["goodput"] / trace["ceiling"][0]["rate"], 0.01)
    assert [(each["image"], each["requests"]) for each in figures["alone"]] == [
        ("224x224", 3),
        ("512x384", 3),
    ]
    assert all(each["client_ms"] > each["added_by_client_ms"] > 0 for each in figures["alone"])


@pytest.mark.slow
def test_side_by_side_with_rivals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rivals = importlib.import_module("tests.benchmarks.rivals.__main__")  # not by its name: it is a program
    out = tmp_path / "figures.json"
    rivals.main([*SHORT, "--trace", "64x48", "--out", str(out)])
    assert "this service" in capsys.readouterr().out
    (result,) = json.loads(out.read_text())["results"]
    assert set(result["servers"]) == {kind.name for kind in rivals.KINDS}
    assert len(result["servers"]) == 4
    for server in result["servers"].values():
        assert _statuses(server["closed"]) == _statuses(server["open"]) == [{"200": BLOCK}]
    assert result["scores_apart"] < 0.05


def test_a_plan_by_its_options(tmp_path: Path) -> None:
    options = parser("", ("mixed",), 8.0)
    chosen = ["--server-cores", "0,2-4", "--load-cores", "1", "--rounds", "5", "--share", "0.5"]
    how = plan(options.parse_args([*chosen, "--out", str(tmp_path)]))
    assert (how.server_cores, how.load_cores, how.threads) == ((0, 2, 3, 4), (1,), 4)
    assert (how.rounds, how.seconds, how.share, how.sizes) == (5, 8.0, 0.5, ("compact", "full"))
    assert how.environment["IQA_THREADS"] == how.environment["OMP_NUM_THREADS"] == "4"
    quick = plan(options.parse_args(["--quick"]))
    assert (quick.rounds, blocks_for(1000.0, quick.seconds)) == (1, 1)


@pytest.mark.parametrize(("rate", "seconds", "blocks"), [(1.0, 5.0, 1), (100.0, 3.0, 15), (1e9, 1e9, 200)])
def test_rounds_are_whole_blocks(rate: float, seconds: float, blocks: int) -> None:
    assert blocks_for(rate, seconds) == blocks


def test_a_trace_is_repeated_in_its_order() -> None:
    trace = list(range(2 * BLOCK))
    assert repeated(trace, 3) == [*trace, *trace[:BLOCK]]
    assert repeated(trace, 1) == trace[:BLOCK]


def _statuses(reports: list[dict[str, Any]]) -> list[dict[str, int]]:
    return [report["statuses"] for report in reports]
