"""What goes over the wire comes out as it went in."""

from dataclasses import replace

import numpy as np
import pytest

from app.inference import protocol
from app.inference.protocol import Casualties, Done, Job, State, WireError
from app.inference.tasks import CompareResult, CompareTask, ModelCard, ModelResult, ScoreResult, ScoreTask
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.calibrations import calibration

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
OTHER = PIXELS[::-1]  # not contiguous
RESULT = ModelResult(0.1, (0.5,) * 6, (1 / 3,) * 40, (0.7,) * 40, (), None, 6, 4)
CARD = ModelCard(
    name="bpclip", weights="bpclip-tiny", sha256="a4", license="none", source="", training_data="",
    accuracy={"srcc": 0.5}, validated_sides=(32, 1024), text_encoder=False, prompt_pairs=(),
    temperature=100.0, preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=384),
    parameters=1,
)  # fmt: skip
MAPPED = replace(RESULT, quality_map=((0.25, 1 / 3), (0.0, 1.0)))


def test_a_job_comes_out_as_it_went_in() -> None:
    job = Job(
        7,
        12.5,
        144,
        (
            ScoreTask(PIXELS, ("bpclip",), ("moody",), quality_map="bpclip"),
            CompareTask(PIXELS, OTHER, reference_key="a4"),
            ScoreTask(PIXELS, ("bpclip",)),
            CompareTask(PIXELS, OTHER),
        ),
        company=3,
    )
    kind, header, *buffers = protocol.pack_job(job)
    assert kind == protocol.JOB
    assert len(buffers) == 2  # what two tasks share is sent once
    out = protocol.unpack_job(header, [bytes(buffer) for buffer in buffers])
    assert (out.id, out.deadline, out.pixels, out.company) == (7, 12.5, 144, 3)
    score, compare, plain_score, plain_compare = out.tasks
    assert isinstance(score, ScoreTask)
    assert isinstance(compare, CompareTask)
    assert (score.models, score.words) == (("bpclip",), ("moody",))
    assert (score.pixels == PIXELS).all()
    assert (compare.reference == PIXELS).all()
    assert (compare.distorted == OTHER).all()
    assert (score.quality_map, compare.reference_key) == ("bpclip", "a4")
    assert isinstance(plain_score, ScoreTask)
    assert isinstance(plain_compare, CompareTask)
    assert (plain_score.quality_map, plain_compare.reference_key) == (None, "")


def test_pixels_are_not_copied() -> None:
    _, header, buffer = protocol.pack_job(Job(1, 0.0, 24, (ScoreTask(PIXELS, ("bpclip",)),)))
    assert np.shares_memory(np.frombuffer(buffer, np.uint8), PIXELS)
    (task,) = protocol.unpack_job(header, [buffer]).tasks
    assert isinstance(task, ScoreTask)
    assert np.shares_memory(task.pixels, PIXELS)


def test_a_job_with_a_buffer_missing_is_refused() -> None:
    _, header, buffer = protocol.pack_job(Job(1, 0.0, 1, (ScoreTask(PIXELS, ("bpclip",)),)))
    for buffers in ([], [bytes(buffer)[:-1]], [bytes(buffer)] * 2):
        with pytest.raises(WireError):
            protocol.unpack_job(header, buffers)


def test_results_come_out_as_they_went_in() -> None:
    results = (ScoreResult({"qualiclip": MAPPED}), CompareResult(RESULT))
    done = Done(3, None, results, 1.5, 0.25, 2, 288, 280, 300, True, 1e6)
    kind, header = protocol.pack_done(done)
    assert kind == protocol.DONE
    assert protocol.unpack_done(header) == done


def test_a_state_comes_out_as_it_went_in() -> None:
    state = State(
        boot="b", warm=True, device="cpu", dtype="float32", max_scored_pixels=4,
        cards=(CARD, replace(CARD, calibration=calibration())), queued_pixels=5,
        pixels_per_s=6.5, restarts=7, waiting=8, budget_pixels=9, memory_bytes=10,
        casualties=Casualties("a", 2, (11,)),
    )  # fmt: skip
    kind, header = protocol.pack_state(state)
    assert kind == protocol.STATE
    assert protocol.unpack_state(header) == state


def test_ids() -> None:
    kind, header = protocol.pack_ids(protocol.CANCEL, [3, 4])
    assert (kind, protocol.unpack_ids(header)) == (protocol.CANCEL, [3, 4])
