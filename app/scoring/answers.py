"""From the workers' results to the answers of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.imaging import score_warnings
from app.imaging.decode import Size
from app.inference.protocol import State
from app.inference.tasks import CompareResult, ModelCard, ModelResult, Result, ScoreResult
from app.schemas import common, compare, score
from app.scoring.requests import Prepared, PreparedPair, Question, card
from app.settings import answering
from models.registry import FULL_REFERENCE
from models.vocabulary import ADJECTIVES, DIMENSIONS

FULL_REFERENCE_MODEL: Final = "bpclip"
"""What answers call the model of the slot ``bpclip-fr``."""


def score_answer(
    prepared: Prepared, results: Sequence[Result], batch_images: int, question: Question, state: State
) -> score.UntimedScore:
    """The answer to POST /score, without what only the server knows: where the time went.

    Args:
        prepared: the image.
        results: of its tasks, in their order.
        batch_images: requests in the batch.
        question: that was asked.
        state: of the worker.
    """
    found: dict[str, ModelResult] = {}
    for result in results:
        assert isinstance(result, ScoreResult)
        found |= result.models
    warnings = list(prepared.warnings)
    size = prepared.provenance.width, prepared.provenance.height
    answers = {}
    for name in question.models:
        scored = found[name].width, found[name].height
        warnings += score_warnings.of_size(name, size, scored, card(name, state).validated_sides)
        answers[name] = _model(found[name], card(name, state), question.words)
    chosen = answering(question.models)
    return score.UntimedScore(
        score=answers[chosen].score,
        model=chosen,
        dimensions=answers[chosen].dimensions,
        models=answers,
        image=score.DecodedImage(**vars(prepared.provenance)),
        facts=score.Facts(exposure=score.Exposure(**vars(prepared.exposure))),
        warnings=warnings,
        quality_map=quality_map(found[chosen]),
        batch=common.Batch(images=batch_images),
    )


def compare_answer(
    pair: PreparedPair, results: Sequence[Result], batch_images: int, question: Question, state: State
) -> compare.UntimedCompare:
    """The answer to POST /compare, without the time that it took.

    Args:
        pair: the images.
        results: of the pair, of the reference's tasks and of the distorted image's.
        batch_images: requests in the batch.
        question: that was asked.
        state: of the worker.
    """
    compared, *scored = results
    assert isinstance(compared, CompareResult)
    result = compared.full_reference
    split = len(pair.reference.tasks)
    reference = score_answer(pair.reference, scored[:split], batch_images, question, state)
    distorted = score_answer(pair.distorted, scored[split:], batch_images, question, state)
    full_reference_card = card(FULL_REFERENCE, state)
    full_reference = _model(result, full_reference_card, ())
    size = pair.reference.provenance.width, pair.reference.provenance.height
    warnings = list(
        score_warnings.of_size(
            FULL_REFERENCE, size, (result.width, result.height), full_reference_card.validated_sides
        )
    )
    if pair.resized_from is not None:
        warnings.insert(
            0,
            f"resized: the distorted image was brought from {pair.resized_from[0]} x {pair.resized_from[1]} "
            f"to {size[0]} x {size[1]} pixels for the comparison.",
        )
    return compare.UntimedCompare(
        score=full_reference.score,
        model=FULL_REFERENCE_MODEL,
        dimensions=full_reference.dimensions,
        models={FULL_REFERENCE_MODEL: full_reference},
        reference=reference,
        distorted=distorted,
        differences=_differences(reference, distorted),
        signal=compare.SignalMeasures(psnr_db=pair.signal.psnr_db, ssim=pair.signal.ssim),
        resized_from=None if pair.resized_from is None else _size(pair.resized_from),
        warnings=warnings,
        batch=common.Batch(images=batch_images),
    )


def quality_map(result: ModelResult) -> score.QualityMap | None:
    """Local quality as the contract gives it; None where it was not asked for."""
    if result.quality_map is None:
        return None
    # The fourth decimal is already beyond what half precision tells apart.
    values = [[round(value, 4) for value in row] for row in result.quality_map]
    return score.QualityMap(width=len(values[0]), height=len(values), values=values)


def _model(result: ModelResult, model_card: ModelCard, words: Sequence[str]) -> score.ModelAnswer:
    adjectives = [
        score.AdjectiveResult(
            adjective=adjective.word,
            dimension=adjective.dimension,
            polarity=adjective.polarity,
            similarity=similarity,
            probability=probability,
        )
        for adjective, similarity, probability in zip(
            ADJECTIVES if result.similarities else (), result.similarities, result.probabilities, strict=True
        )
    ]
    if result.words is not None:
        adjectives += [
            score.AdjectiveResult(
                adjective=word, dimension=None, polarity=None, similarity=similarity, probability=None
            )
            for word, similarity in zip(words, result.words, strict=True)
        ]
    return score.ModelAnswer(
        score=result.score,
        dimensions=(
            common.Dimensions(**dict(zip(DIMENSIONS, result.dimensions, strict=True)))
            if result.dimensions
            else None
        ),
        adjectives=adjectives,
        prompt_pairs=[
            score.PromptPair(positive=positive, negative=negative, probability=probability)
            for (positive, negative), probability in zip(
                model_card.prompt_pairs, result.prompt_probabilities, strict=True
            )
        ],
        scored=_size((result.width, result.height)),
        weights=weights_used(model_card),
    )


def weights_used(model_card: ModelCard) -> common.WeightsUsed:
    """Which weights a result comes from."""
    return common.WeightsUsed(name=model_card.weights, sha256=model_card.sha256, license=model_card.license)


def _differences(reference: score.UntimedScore, distorted: score.UntimedScore) -> compare.Differences:
    before, after = reference.models[reference.model], distorted.models[distorted.model]
    return compare.Differences(
        model=reference.model,
        score=after.score - before.score,
        dimensions=(
            compare.DimensionDifferences(
                **_minus(common.values_of(after.dimensions), common.values_of(before.dimensions))
            )
            if after.dimensions is not None
            else None
        ),
        adjectives=[
            compare.AdjectiveDifference(
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


def _size(size: Size) -> common.ImageSize:
    return common.ImageSize(width=size[0], height=size[1])
