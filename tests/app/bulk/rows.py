"""Rows and answers for tests, without any model."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.bulk.rows import Row, answer_fields, flat
from app.bulk.run_manifest import About, Applied, Basis, Used
from app.bulk.summary import Summary
from app.schemas import common
from app.schemas import policies as policy_schemas
from app.schemas import score as score_schemas
from app.scoring.outcomes import ScoredFile
from models.calibration import Calibration, describe
from models.vocabulary import ADJECTIVES, DIMENSIONS

MODELS = ("qualiclip", "bpclip")


def answer(
    score: float = 0.5, *, content: str = "", calibration: Calibration | None = None, **fields: Any
) -> score_schemas.UntimedScore:
    """An answer with that score, read by a calibration; `content` makes the file's digest."""
    dimensions = common.Dimensions(**dict.fromkeys(DIMENSIONS, score))
    adjectives = [
        score_schemas.AdjectiveResult(
            adjective=word.word,
            dimension=word.dimension,
            polarity=word.polarity,
            similarity=0.1,
            probability=score if word.polarity == "positive" else 1 - score,
        )
        for word in ADJECTIVES
    ]
    found = describe(
        score,
        {word.adjective: word.probability or 0.0 for word in adjectives},
        dict.fromkeys(DIMENSIONS, score),
        calibration,
    )
    in_words: dict[str, Any] = {
        "reading": found.reading,
        "percentile": found.percentile,
        "summary": found.summary,
        "faults": [
            score_schemas.NamedFault(
                fault=fault.name,
                severity="strong" if fault.strong else "slight",
                confidence=fault.strength,
                message=fault.phrase,
            )
            for fault in found.faults
        ],
    }
    models = {
        name: score_schemas.ModelAnswer(
            score=score,
            **in_words,
            dimensions=dimensions,
            adjectives=adjectives,
            prompt_pairs=[],
            scored=common.ImageSize(width=64, height=48),
            weights=common.WeightsUsed(name=f"{name}-tiny", sha256=name, license="none"),
        )
        for name in MODELS
    }
    image = score_schemas.DecodedImage(
        width=64,
        height=48,
        format="JPEG",
        bytes=1000,
        sha256=hashlib.sha256(os.fsencode(content or str(score))).hexdigest(),
        frames=1,
        orientation_applied=False,
        color_converted=False,
    )
    return score_schemas.UntimedScore(**{
        "score": score,
        **in_words,
        "model": "bpclip",
        "dimensions": dimensions,
        "models": models,
        "image": image,
        "facts": score_schemas.Facts(
            exposure=score_schemas.Exposure(
                mean_luminance=0.2, p99_luminance=0.9, clipped_shadows=0.0, clipped_highlights=0.0123
            )
        ),
        "warnings": [],
        "batch": common.Batch(images=1),
        **fields,
    })  # fmt: skip


def scored(path: str, score: float = 0.5, **fields: Any) -> ScoredFile:
    return ScoredFile(Path(path), answer(score, content=path, **fields))


def failed(path: str, problem: str = "The image is empty.") -> ScoredFile:
    return ScoredFile(Path(path), None, problem)


def row(path: str, score: float = 0.5, **fields: Any) -> Row:
    return flat(answer_fields(scored(path, score, **fields)))


def verdict(outcome: str, *messages: str) -> policy_schemas.Verdict:
    reasons = [
        policy_schemas.Reason(
            measure="dimension",
            model="bpclip",
            dimension="sharpness",
            adjective=None,
            outcome="fail" if outcome == "fail" else "review",
            value=0.1,
            limit=0.2,
            message=message,
        )
        for message in messages
    ]
    return policy_schemas.Verdict(policy="upload", outcome=outcome, reasons=reasons)  # type: ignore[arg-type]


def basis(policy: str | None = None, **changes: Any) -> Basis:
    applied = None if policy is None else Applied(name=policy, description="", definition={"side": 200})
    models = tuple(
        Used(name=name, weights=f"{name}-tiny", sha256=name, license="none", dtype="float32")
        for name in MODELS
    )
    return Basis(models=models, max_scored_pixels=2**21, policy=applied).model_copy(update=changes)


def about(policy: str | None = None, **changes: Any) -> About:
    return About.model_validate({
        "program": "iqa-service 0",
        "named": ("photos",),
        "server": None,
        "basis": basis(policy),
        "began": "2026-01-02T03:04:05Z",
        **changes,
    })  # fmt: skip


def summary_of(rows: Iterable[Row]) -> Summary:
    """What rows come to."""
    summary = Summary()
    for each in rows:
        summary.add(each)
    return summary
