"""The version of the installed service."""

from importlib import metadata


def version() -> str:
    """As its package says; 0 where it runs without having been installed."""
    try:
        return metadata.version("iqa-service")
    except metadata.PackageNotFoundError:
        return "0"
