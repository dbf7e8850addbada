"""What is asked about an image and its reference, by the query."""

import re
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Query
from pydantic.json_schema import SkipJsonSchema

from app.api.dependencies import (
    Asked,
    AskedDep,
    DetailQuery,
    EmbeddingQuery,
    PolicyQuery,
    ServiceDep,
    chosen_policy,
)
from app.errors import InvalidParameter
from app.schemas.measured.pair_measures import PUBLISHED_MEASURES, PublishedName

_MEASURE: Final = f" *(?:{'|'.join(PUBLISHED_MEASURES)}) *"
_MEASURES: Final = f"{_MEASURE}(?:,{_MEASURE})*"


async def _asked_of_pair(
    service: ServiceDep,
    asked: AskedDep,
    difference_map: Annotated[
        bool, Query(description="Whether it is wanted too where the images differ.")
    ] = False,
    measures: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="Measures beside PSNR and SSIM, separated by commas: "
            f"{', '.join(PUBLISHED_MEASURES)}. Those that a policy limits are computed anyway.",
            examples=["vsi,haarpsi"],
            json_schema_extra={"pattern": f"^{_MEASURES}$"},
        ),
    ] = None,
    detail: DetailQuery = "full",
    embedding: EmbeddingQuery = False,
    policy: PolicyQuery = None,
) -> Asked:
    chosen = None if policy is None else chosen_policy(policy, service, asked.models, compared=True)
    limited = () if chosen is None else chosen.published
    return replace(
        asked,
        difference_map=difference_map,
        measures=tuple(dict.fromkeys((*_measures(measures), *limited))),
        embedding=embedding,
        brief=detail == "summary",
        policy=chosen,
    )


AskedOfPairDep = Annotated[Asked, Depends(_asked_of_pair)]
"""Likewise, about an image and its reference."""


def _measures(names: str | None) -> tuple[PublishedName, ...]:
    if names is None:
        return ()
    if not re.fullmatch(_MEASURES, names):
        raise InvalidParameter(
            f"`measures` takes names out of {', '.join(PUBLISHED_MEASURES)}, separated by commas.",
            parameter="measures",
            known=list(PUBLISHED_MEASURES),
        )
    asked = {name.strip(" ") for name in names.split(",")}
    return tuple(name for name in PUBLISHED_MEASURES if name in asked)
