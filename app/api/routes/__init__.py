"""The routes, a module each. None imports another, and nothing lists them: a module that is here is served.

A module has a `router`, and may say in `ACCESS` what a client needs to use it; without that, an API key is
wanted where there are keys.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter

Access = Literal["key", "metrics", "open"]
"""Which clients may ask: those with a key, those that may read metrics by the settings, or all."""


def routers() -> Iterator[tuple[APIRouter, Access]]:
    """Every router with its access, in the order of the modules' names."""
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        yield module.router, getattr(module, "ACCESS", "key")
