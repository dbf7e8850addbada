"""The official weights on the command line: their license is shown, and how far the download is."""

import os
from pathlib import Path
from typing import Final

from app.commands.terminal import Meter, complain
from app.settings import Settings

SHA256_VARIABLE: Final = "IQA_QUALICLIP_SHA256"
"""Environment variable that pins the file from outside."""


def fetch_where_asked(settings: Settings) -> None:
    """Downloads the official weights if the settings ask for them and they are not here yet.

    Raises:
        WeightsError: they cannot be had, or are not what they should be.
    """
    if "official" in settings.sources().values():
        fetch_with_progress(settings.qualiclip_sha256)


def fetch_with_progress(sha256: str | None = None, directory: Path | None = None) -> Path:
    """Downloads the official weights with a progress bar, and shows the license before the first byte.

    Raises:
        WeightsError: they cannot be had, or are not what they should be.
    """
    from models.qualiclip import official

    sha256 = sha256 or os.environ.get(SHA256_VARIABLE) or None
    if official.official_path(directory).is_file():
        return official.fetch_official(directory, sha256=sha256)
    complain(official.LICENSE_NOTICE)
    with Meter("downloading", None, "bytes") as meter:
        return official.fetch_official(directory, sha256=sha256, progress=meter.reach)
