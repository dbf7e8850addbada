"""From the workers' results to the answers of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.imaging import score_warnings
from app.imaging.decode import Size
from app.inference.protocol import State
from app.inference.tasks import CompareResult, ModelCard, ModelResult, Result, ScoreResult
from app.schemas import common, compare, score
from app.scoring import readings
from app.scoring.requests import Prepared, PreparedPair, Question, card
from app.settings import answering
from models.grades import GRADES, Grade, GradeSteps
from models.measures.difference import NOTICEABLE
from models.registry import FULL_REFERENCE
from models.vocabulary import ADJECTIVES, DIMENSIONS

_OF_THE_CHOSEN: Final = ("score", "dimensions", "reading", "percentile", "summary", "faults")
"""What an answer repeats of the model that it is by."""

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
    split = len(results) - len(prepared.tiles)
    for result in results[:split]:
        assert isinstance(result, ScoreResult)
        found |= result.models
    warnings = list(prepared.warnings)
    size = prepared.provenance.width, prepared.provenance.height
    answers = {}
    seen = readings.in_pixels(
        prepared.regions,
        prepared.exposure,
        [found[name] for name in question.models],
        prepared.facts.jpeg_quality,
    )
    for name in question.models:
        scored = found[name].width, found[name].height
        warnings += score_warnings.of_size(name, size, scored, card(name, state).validated_sides)
        answers[name] = _model(
            found[name],
            card(name, state),
            question.words,
            **readings.in_words(
                found[name], card(name, state), monochrome=prepared.provenance.monochrome, seen=seen
            ),
        )
    chosen = answering(question.models)
    return score.UntimedScore(
        **{name: getattr(answers[chosen], name) for name in _OF_THE_CHOSEN},
        model=chosen,
        confidence=readings.confidence(answers, warnings),
        models=answers,
        image=score.DecodedImage(**vars(prepared.provenance)),
        facts=score.Facts(
            exposure=score.Exposure(**vars(prepared.exposure)),
            monochrome=prepared.provenance.monochrome,
            **vars(prepared.facts),
        ),
        warnings=warnings,
        quality_map=quality_map(found[chosen]),
        embedding=_embedding(chosen, found[chosen]),
        detail=None if question.detail is None else _detail(prepared, results[split:], question.detail),
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
    seen = result.width, result.height
    differences = _differences(reference, distorted)
    moved = pair.signal.displacement
    grades = full_reference_card.grades
    return compare.UntimedCompare(
        score=full_reference.score,
        grade=None if grades is None else _grade(pair, full_reference.score, grades),
        model=FULL_REFERENCE_MODEL,
        dimensions=full_reference.dimensions,
        models={FULL_REFERENCE_MODEL: full_reference},
        reference=reference,
        distorted=distorted,
        differences=differences,
        signal=compare.SignalMeasures(
            psnr_db=pair.signal.psnr_db,
            ssim=pair.signal.ssim,
            **pair.measures,
            displacement=None if moved is None else compare.ContentDisplacement(**vars(moved)),
        ),
        difference_map=_difference_map(pair),
        resized_from=None if pair.resized_from is None else _size(pair.resized_from),
        warnings=[
            *score_warnings.of_pair(size, pair.resized_from, pair.signal),
            *score_warnings.of_gain(differences.model, differences.score),
            *score_warnings.of_size(FULL_REFERENCE, size, seen, full_reference_card.validated_sides),
        ],
        batch=common.Batch(images=batch_images),
    )


def quality_map(result: ModelResult) -> score.QualityMap | None:
    """Local quality as the contract gives it; None where it was not asked for."""
    if result.quality_map is None:
        return None
    # The fourth decimal is already beyond what half precision tells apart.
    values = [[round(value, 4) for value in row] for row in result.quality_map]
    return score.QualityMap(width=len(values[0]), height=len(values), values=values)


def _grade(pair: PreparedPair, score: float, steps: GradeSteps) -> Grade:
    """The grade of the score; of identical pixels the best one, whatever the model makes of them."""
    return GRADES[0] if pair.signal.psnr_db is None else steps.grade(score)


def _difference_map(pair: PreparedPair) -> compare.DifferenceMap | None:
    if pair.differences is None:
        return None
    height, width = pair.differences.shape
    return compare.DifferenceMap(
        width=width,
        height=height,
        values=[[round(value, 4) for value in row] for row in pair.differences.tolist()],
        noticeable=float((pair.differences >= NOTICEABLE).mean()),
    )


def _embedding(model: str, result: ModelResult) -> score.Embedding | None:
    if result.embedding is None:
        return None
    values = [round(value, 6) for value in result.embedding]
    return score.Embedding(model=model, length=len(values), values=values)


def _detail(prepared: Prepared, results: Sequence[Result], model: str) -> score.Detail:
    """What a model says of the tiles of an image."""
    tiles = []
    for place, result in zip(prepared.tiles, results, strict=True):
        assert isinstance(result, ScoreResult)
        said = result.models[model]
        dimensions = dict(zip(DIMENSIONS, said.dimensions, strict=True)) if said.dimensions else {}
        tiles.append(
            score.DetailTile(
                **vars(place),
                score=said.score,
                sharpness=dimensions.get("sharpness"),
                cleanness=dimensions.get("cleanness"),
            )
        )
    return score.Detail(
        model=model,
        score=min(tile.score for tile in tiles),
        sharpness=min((tile.sharpness for tile in tiles if tile.sharpness is not None), default=None),
        cleanness=min((tile.cleanness for tile in tiles if tile.cleanness is not None), default=None),
        tiles=tiles,
    )


def _model(
    result: ModelResult, model_card: ModelCard, words: Sequence[str], **in_words: Any
) -> score.ModelAnswer:
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
        **in_words,
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
