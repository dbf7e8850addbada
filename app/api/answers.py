"""From the workers' results to the answers of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app import cautions
from app.api import schemas
from app.middleware import Record
from app.preparation import Prepared, PreparedPair, Size, card
from app.service import Timing
from app.worker.tasks import FULL_REFERENCE, CompareResult, ModelCard, ModelResult, Result, ScoreResult
from app.worker.wire import Done, State
from models.adjectives import ADJECTIVES, DIMENSIONS

FULL_REFERENCE_MODEL: Final = "bpclip"
"""What answers call the model of the slot ``bpclip-fr``."""


def score_answer(
    prepared: Prepared,
    done: Done,
    timing: Timing,
    state: State,
    models: Sequence[str],
    words: Sequence[str],
    record: Record,
) -> schemas.ScoreAnswer:
    """The answer to POST /score."""
    untimed = _untimed(prepared, done.results, done.batch_images, state, models, words)
    # Field by field: dumping and validating the whole answer again would cost a millisecond.
    fields = {name: getattr(untimed, name) for name in schemas.UntimedScore.model_fields}
    return schemas.ScoreAnswer(**fields, timing_ms=_timing(timing, record))


def compare_answer(
    pair: PreparedPair,
    done: Done,
    timing: Timing,
    state: State,
    models: Sequence[str],
    words: Sequence[str],
    record: Record,
) -> schemas.CompareAnswer:
    """The answer to POST /compare."""
    compared, *scored = done.results
    assert isinstance(compared, CompareResult)
    result = compared.full_reference
    split = len(pair.reference.tasks)
    reference = _untimed(pair.reference, scored[:split], done.batch_images, state, models, words)
    distorted = _untimed(pair.distorted, scored[split:], done.batch_images, state, models, words)
    full_reference_card = card(FULL_REFERENCE, state)
    full_reference = _model(result, full_reference_card, ())
    size = pair.reference.provenance.width, pair.reference.provenance.height
    warnings = list(
        cautions.of_size(
            FULL_REFERENCE, size, (result.width, result.height), full_reference_card.validated_sides
        )
    )
    if pair.resized_from is not None:
        warnings.insert(
            0,
            f"resized: the distorted image was brought from {pair.resized_from[0]} x {pair.resized_from[1]} "
            f"to {size[0]} x {size[1]} pixels for the comparison.",
        )
    return schemas.CompareAnswer(
        score=full_reference.score,
        model=FULL_REFERENCE_MODEL,
        dimensions=full_reference.dimensions,
        models={FULL_REFERENCE_MODEL: full_reference},
        reference=reference,
        distorted=distorted,
        differences=_differences(reference, distorted),
        signal=schemas.SignalMeasures(psnr_db=pair.signal.psnr_db, ssim=pair.signal.ssim),
        resized_from=None if pair.resized_from is None else _size(pair.resized_from),
        warnings=warnings,
        timing_ms=_timing(timing, record),
        batch=schemas.Batch(images=done.batch_images),
    )


def _untimed(
    prepared: Prepared,
    results: Sequence[Result],
    batch_images: int,
    state: State,
    models: Sequence[str],
    words: Sequence[str],
) -> schemas.UntimedScore:
    found: dict[str, ModelResult] = {}
    for result in results:
        assert isinstance(result, ScoreResult)
        found |= result.models
    warnings = list(prepared.warnings)
    size = prepared.provenance.width, prepared.provenance.height
    answers = {}
    for name in models:
        scored = found[name].width, found[name].height
        warnings += cautions.of_size(name, size, scored, card(name, state).validated_sides)
        answers[name] = _model(found[name], card(name, state), words)
    # BPCLIP's score where it was asked for: it was trained on people's opinions.
    chosen = FULL_REFERENCE_MODEL if FULL_REFERENCE_MODEL in answers else models[0]
    return schemas.UntimedScore(
        score=answers[chosen].score,
        model=chosen,
        dimensions=answers[chosen].dimensions,
        models=answers,
        image=schemas.Image(**vars(prepared.provenance)),
        warnings=warnings,
        batch=schemas.Batch(images=batch_images),
    )


def _model(result: ModelResult, model_card: ModelCard, words: Sequence[str]) -> schemas.ModelAnswer:
    adjectives = [
        schemas.AdjectiveResult(
            adjective=adjective.word,
            dimension=adjective.dimension,
            polarity=adjective.polarity,
            similarity=similarity,
            probability=probability,
        )
        for adjective, similarity, probability in zip(
            ADJECTIVES, result.similarities, result.probabilities, strict=True
        )
    ]
    if result.words is not None:
        adjectives += [
            schemas.AdjectiveResult(
                adjective=word, dimension=None, polarity=None, similarity=similarity, probability=None
            )
            for word, similarity in zip(words, result.words, strict=True)
        ]
    return schemas.ModelAnswer(
        score=result.score,
        dimensions=schemas.Dimensions(**dict(zip(DIMENSIONS, result.dimensions, strict=True))),
        adjectives=adjectives,
        prompt_pairs=[
            schemas.PromptPair(positive=positive, negative=negative, probability=probability)
            for (positive, negative), probability in zip(
                model_card.prompt_pairs, result.prompt_probabilities, strict=True
            )
        ],
        scored=_size((result.width, result.height)),
        weights=weights_used(model_card),
    )


def weights_used(model_card: ModelCard) -> schemas.WeightsUsed:
    """Which weights a result comes from."""
    return schemas.WeightsUsed(name=model_card.weights, sha256=model_card.sha256, license=model_card.license)


def _differences(reference: schemas.UntimedScore, distorted: schemas.UntimedScore) -> schemas.Differences:
    before, after = reference.models[reference.model], distorted.models[distorted.model]
    return schemas.Differences(
        model=reference.model,
        score=after.score - before.score,
        dimensions=schemas.DimensionDifferences(
            **_minus(after.dimensions.model_dump(), before.dimensions.model_dump())
        ),
        adjectives=[
            schemas.AdjectiveDifference(
                adjective=adjective.word,
                dimension=adjective.dimension,
                polarity=adjective.polarity,
                similarity=late.similarity - early.similarity,
                probability=(late.probability or 0.0) - (early.probability or 0.0),
            )
            # The words beyond the 40 come after them, and have no place in the table.
            for adjective, late, early in zip(ADJECTIVES, after.adjectives, before.adjectives, strict=False)
        ],
    )


def _minus(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value - before[name] for name, value in after.items()}


def _size(size: Size) -> schemas.Size:
    return schemas.Size(width=size[0], height=size[1])


def _timing(timing: Timing, record: Record) -> schemas.TimingMs:
    parts = {"decode": timing.decode, "queue": timing.queue, "inference": timing.inference}
    record.timing_ms.update(parts)
    rounded = {name: round(value, 2) for name, value in parts.items()}
    return schemas.TimingMs(**rounded, total=round(record.elapsed_ms(), 2))
