"""GET /models: what is loaded, and what it takes."""

from dataclasses import asdict

from fastapi import APIRouter

from app import errors
from app.api.dependencies import ServiceDep
from app.api.many import TIMES_A_FILE
from app.api.openapi import problems
from app.imaging.formats.registry import SUFFIXES, supported_formats
from app.schemas.models import (
    AdjectivePair,
    DecoderSandbox,
    DescribedModel,
    KnownFault,
    ModelsAnswer,
    ServiceLimits,
)
from app.scoring.answers import weights_used
from models.faults import FAULTS
from models.registry import FULL_REFERENCE, spec_of
from models.vocabulary import DIMENSIONS, PAIRS

router = APIRouter(tags=["service"])


@router.get("/models", summary="What is loaded", responses=problems(errors.InvalidParameter, errors.Starting))
async def list_models(service: ServiceDep) -> ModelsAnswer:
    """The loaded models with their weights, limits, accuracy and calibration; the adjectives and faults."""
    state, settings = service.loaded(), service.settings
    lockdown = service.decoders.lockdown
    return ModelsAnswer(
        models=[
            DescribedModel(
                name=card.name,
                title=spec_of(card.name).title,
                kind="full-reference" if card.name == FULL_REFERENCE else "no-reference",
                weights=weights_used(card),
                source=card.source,
                training_data=card.training_data,
                device=state.device,
                dtype=card.dtype,
                parameters=card.parameters,
                longest_side=card.preprocessing.longest_side,
                validated_sides=card.validated_sides,
                text_encoder=card.text_encoder,
                temperature=card.temperature,
                accuracy=card.accuracy,
                calibration=card.calibration,
                grades=card.grades,
            )
            for card in state.cards
        ],
        limits=ServiceLimits(
            max_body_bytes=settings.max_body_bytes,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
            min_side=settings.min_side,
            max_scored_pixels=settings.max_scored_pixels,
            formats=list(supported_formats()),
            suffixes=sorted(SUFFIXES),
            max_files=settings.max_files,
            max_files_bytes=TIMES_A_FILE * settings.max_body_bytes,
        ),
        adjectives={
            dimension: [
                AdjectivePair(positive=pair.positive, negative=pair.negative)
                for pair in PAIRS
                if pair.dimension == dimension
            ]
            for dimension in DIMENSIONS
        },
        faults=[
            KnownFault(
                name=fault.name,
                dimension=fault.dimension,
                adjectives=list(fault.adjectives),
                slight=fault.slight,
                strong=fault.strong,
            )
            for fault in FAULTS
        ],
        sandbox=None if lockdown is None else DecoderSandbox(**asdict(lockdown)),
    )
