"""The routes, a module each. None imports another, and nothing lists them: a module that is here is served.

A module has a `router`, and may say in `ACCESS` who may ask; without it, an API key is wanted where there are
keys.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Final, Literal

from fastapi import APIRouter

RouteAccess = Literal["key", "metrics", "open"]
"""Who may ask: who has a key, whoever may read metrics by the settings, or anybody."""

_ASKED_MOST: Final = ("score", "compare", "batch")
"""Modules that are looked at first when a request comes. Each route before the right one takes time, which
counts where most requests are rejected."""


def routers() -> Iterator[tuple[APIRouter, RouteAccess]]:
    """Every router with its access, those first that are asked most, in the order of the modules' names."""
    names = [found.name for found in pkgutil.iter_modules(__path__)]
    for name in sorted(names, key=lambda name: name not in _ASKED_MOST):
        module = importlib.import_module(f"{__name__}.{name}")
        yield module.router, getattr(module, "ACCESS", "key")
