"""The measurement of a GPU: run on a CPU for a moment, and what it tries scores as the models do."""

import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.settings import read_settings
from models.preprocessing import Pixels
from models.runtime.eager import EagerEncoder
from tests.benchmarks.gpu import candidates, card, correctness, networks
from tests.benchmarks.gpu.markdown import tables
from tests.benchmarks.gpu.networks import Encode
from tests.benchmarks.gpu.size_buckets import BucketEncoder, DeviceEncoder

program = importlib.import_module("tests.benchmarks.gpu.__main__")  # not by its name: it is a program


@pytest.fixture
def _tiny_weights(weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**weights_environment, "IQA_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)


def test_without_a_device_it_says_so_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--device", "cuda:99"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "no CUDA device for --device cuda:99" in said.err


def test_without_time_everything_is_listed_as_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    arguments = ["--device", "cpu", "--minutes", "0", "--size", "compact", "--trace", "64x48"]
    assert program.main([*arguments, "--batches", "1", "64", "--out", str(out)]) == 0
    parts = json.loads(out.read_text())["parts"]
    assert not any(part["found"] for part in parts.values())
    over = "the time of this part was over (0 s)"
    assert parts["service compact"]["missing"] == {"64x48": over}
    assert parts["batches compact"]["missing"] == {"1": over, "64": over}
    assert parts["correctness"]["missing"] == {"tests/gpu": "needs CUDA"}
    assert "- correctness: tests/gpu: needs CUDA" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.usefixtures("_tiny_weights")
def test_a_short_run_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    arguments = ["--device", "cpu", "--minutes", "4", "--size", "compact", "--trace", "64x48", "80x64"]
    small = ["--images", "64x48", "96x64"]
    short = ["--batches", "1", "3", "--connections", "2", "--seconds", "0.1"]
    assert program.main([*arguments, *small, *short, "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["card"] == "CPU"
    service = results["parts"]["service compact"]["found"]
    assert list(service) == ["64x48", "80x64"]
    for figures in service.values():
        assert figures["ratio"] == pytest.approx(figures["service"] / figures["ceiling"], rel=0.5)
        assert 0 < figures["busy_share"] < 1.1
        assert 0 < figures["decode_share"] < 1
        assert 0 < figures["decoders_busy_share"] < 1.1
        assert 1 <= figures["batch_images"] <= 2  # connections
        assert figures["lone_p50_ms"] <= figures["lone_p99_ms"]
        assert figures["memory_mib"] > 0
    batches = results["parts"]["batches compact"]["found"]
    assert batches["3"]["images_per_s"] == pytest.approx(3000 / batches["3"]["batch_ms"])
    tried = results["parts"]["candidates compact"]
    assert set(tried["missing"].values()) == {"needs CUDA"}
    assert set(tried["missing"]) == set(candidates.measurements(("64x48", "96x64"), cuda=True))
    assert len(tried["found"]) == 4
    for figures in tried["found"].values():
        assert figures["ratio"] == pytest.approx(figures["with_ms"] / figures["without_ms"], rel=0.5)
        assert figures["scores_apart"] < 1e-2
    printed = capsys.readouterr().out
    assert "| compact, 80x64 |" in printed
    assert "CUDA graphs by size bucket" in printed


def bucketed(encoder: EagerEncoder) -> Encode:
    return BucketEncoder(encoder).encode


def on_device(encoder: EagerEncoder) -> Encode:
    return DeviceEncoder(encoder).encode


@pytest.mark.parametrize("weights", ["bundled", "tiny"])
@pytest.mark.parametrize("encoding", [bucketed, on_device, candidates.contiguous_encoder])
def test_what_is_tried_scores_as_the_models_do(
    encoding: Callable[[EagerEncoder], Encode],
    weights: str,
    weights_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also in a bucket that an earlier batch has left its pixels in."""
    for name, value in weights_environment.items() if weights == "tiny" else ():
        monkeypatch.setenv(name, value)
    groups = networks.groups_on("cpu", "float32", read_settings())
    assert len(groups) == (1 if weights == "bundled" else 2)
    batches = odd_batches()
    expected = networks.plainly(groups)(batches)
    assert len(expected) == 2 * sum(map(len, batches))
    run = networks.plainly([group.encoding(encoding(group.encoder)) for group in groups])
    assert run(batches) == pytest.approx(expected, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("candidate", candidates.CANDIDATES, ids=lambda candidate: candidate.name)
def test_candidates_keep_to_the_contract(candidate: candidates.Candidate) -> None:
    settings = read_settings()
    expected = networks.plainly(networks.groups_on("cpu", "float32", settings))(odd_batches())
    run = candidate.make("cuda:0", settings)
    assert run(odd_batches()) == pytest.approx(expected, abs=0.01)
    assert run(odd_batches()) == pytest.approx(expected, abs=0.01)


@pytest.mark.process
def test_outcomes_of_tests_are_counted(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_one(): pass\n"
        "def test_two(): pass\n"
        "def test_wrong(): assert False\n"
        "def test_skipped(): pytest.skip('no')\n"
    )
    counts = correctness.run_tests(tmp_path, "not gpu")
    assert (counts["passed"], counts["failed"], counts["skipped"], counts["right"]) == (2, 1, 1, False)
    assert "test_wrong" in str(counts["said"])
    (tmp_path / "test_some.py").write_text("import pytest\ndef test_skipped(): pytest.skip('no')\n")
    assert not correctness.run_tests(tmp_path, "not gpu")["right"]  # nothing was tested


@pytest.mark.process
def test_the_card_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$@" >"$0.asked"\necho "[N/A], [N/A]"\necho "50, 900"\nexec cat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with card.watched("cuda:1") as load:
        end = time.monotonic() + 30
        while not load.busy and time.monotonic() < end:
            time.sleep(0.01)
    assert load.figures() == {"kernel_share": 0.5, "device_memory_mib": 900.0}
    assert "--id=1" in (tmp_path / "nvidia-smi.asked").read_text()
    with card.watched("cpu") as idle:
        pass
    assert idle.figures() == {"kernel_share": None, "device_memory_mib": None}


def test_the_tables_of_a_run() -> None:
    figures: dict[str, Any] = {
        "ceiling": 1234.5, "service": 1200.0, "ratio": 0.97, "lone_requests": 40, "lone_p50_ms": 4.04,
        "lone_p99_ms": 9.6, "batch_images": 12.25, "busy_share": 0.9, "kernel_share": None,
        "decoders_busy_share": 0.5, "decode_share": 0.25, "memory_mib": 900.4,
    }  # fmt: skip
    found = {"without_ms": 10.0, "with_ms": 5.0, "ratio": 0.5, "scores_apart": 0.00012}
    printed = tables({
        "card": "A card", "connections": 64,
        "machine": {"processor": "A processor", "cores": 16, "packages": {"torch": "2.0"}},
        "parts": {
            "correctness": {"found": {"tests/gpu": {"passed": 7, "failed": 0, "skipped": 1}}, "missing": {}},
            "service full": {"found": {"mixed": figures}, "missing": {}},
            "batches full": {
                "found": {"64": {"batch_ms": 32.0, "images_per_s": 2000.0, "memory_mib": None}},
                "missing": {"1": "over", "2": "over"},
            },
            "candidates full": {
                "found": {"graphs: 1 of 2x2": found, "compiler: 1 of 2x2": {"failed": "failed: a|b"}},
                "missing": {},
            },
        },
    })  # fmt: skip
    lines = printed.splitlines()
    assert lines[0].startswith("**A card**")
    assert "`tests/gpu`: 7 passed, 0 failed, 1 skipped." in lines
    service = "1234 | 1200 | 97 % | 4.04 ms, 9.6 ms (of 40) | 12.2 | 90 % | - | 50 % | 25 % | 900 MiB"
    assert f"| full, mixed | {service} |" in lines
    assert "| full, 64 | 32 ms | 2000 | - |" in lines
    assert "| full, graphs | 1 of 2x2 | 10 ms | 5 ms | 0.50 | 1.2e-04 |" in lines
    assert "| full, compiler | 1 of 2x2 | failed: a/b | - | - | - |" in lines
    assert "- batches full: 1; 2: over" in lines


def odd_batches() -> list[list[Pixels]]:
    """Parts of photographs, no two of a size; the second batch falls in the bucket of the first."""
    photos = networks.photographs_of("256x224", 5)
    first = [pixels[: 224 - 9 * number, : 256 - 7 * number] for number, pixels in enumerate(photos[:3])]
    second = [pixels[: 150 + 7 * number, : 200 - 11 * number] for number, pixels in enumerate(photos)]
    return [first, second[:4], second[4:]]
