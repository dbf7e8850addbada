"""The routes, a module each. None imports another, and nothing lists them: a module that is here is served.

A module has a `router`, and may say in `ACCESS` who may ask; without it, an API key is wanted where there are
keys.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter

RouteAccess = Literal["key", "metrics", "open"]
"""Who may ask: who has a key, whoever may read metrics by the settings, or anybody."""


def routers() -> Iterator[tuple[APIRouter, RouteAccess]]:
    """Every router with its access, in the order of the modules' names."""
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        yield module.router, getattr(module, "ACCESS", "key")
