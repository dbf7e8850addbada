"""What the workers found becomes what the contract says."""

from dataclasses import replace

from app.inference.tasks import ModelResult
from app.scoring.answers import quality_map

RESULT = ModelResult(0.5, (0.5,) * 6, (0.25,) * 40, (0.5,) * 40, (), None, 96, 64)


def test_a_quality_map_has_rows_from_the_top() -> None:
    answer = quality_map(replace(RESULT, quality_map=((0.1, 1 / 3, 1.0), (0.0, 0.99999, 0.123449))))
    assert answer is not None
    assert answer.model_dump() == {
        "width": 3,
        "height": 2,
        "values": [[0.1, 0.3333, 1.0], [0.0, 1.0, 0.1234]],
    }


def test_who_asks_for_no_map_gets_none() -> None:
    assert quality_map(RESULT) is None
