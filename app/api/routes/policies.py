"""GET /policies: what verdicts can be asked for."""

from fastapi import APIRouter

from app import errors
from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.policies import described, usable
from app.schemas.policies import PoliciesAnswer
from app.scoring.answers import weights_used

router = APIRouter(tags=["service"])


@router.get(
    "/policies",
    summary="What verdicts can be asked for",
    responses=problems(errors.InvalidParameter, errors.Starting),
)
async def list_policies(service: ServiceDep) -> PoliciesAnswer:
    """The policies that `policy=NAME` takes, with their limits and where these come from."""
    loaded = service.settings.models
    weights = {card.name: weights_used(card) for card in service.loaded().cards}
    found = usable(service.policies, loaded).values()
    return PoliciesAnswer(policies=[described(policy, loaded, weights) for policy in found])
