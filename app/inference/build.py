"""An engine and its budget by the settings, and how it describes itself, for all programs that run one."""

from collections.abc import Collection

from app.inference.batching import Budget, Padded, SideBySide
from app.inference.engine import Engine
from app.inference.protocol import State
from app.settings import Settings


def engine_for(
    settings: Settings,
    device: str | None = None,
    models: Collection[str] | None = None,
    threads: int | None = None,
) -> Engine:
    """The engine of the settings.

    Args:
        settings: of the service.
        device: as of the engine; None for the first of the settings.
        models: which of those in the settings are loaded; None for all.
        threads: for computation on a CPU; None for those of the settings.

    Raises:
        Exception: what :class:`app.inference.engine.Engine` raises.
    """
    return Engine(
        {name: source for name, source in settings.sources().items() if models is None or name in models},
        device or settings.devices[0],
        settings.dtype,
        settings.max_scored_pixels,
        settings.qualiclip_sha256,
        settings.allow_untrained,
        settings.encoded_cache_bytes,
        settings.runtime,
        threads or settings.threads,
    )


def budget_for(settings: Settings, engine: Engine) -> Budget:
    """What one batch may hold: what the settings say, or what suits the device."""
    policy = Padded() if engine.pads else SideBySide()
    pixels = settings.batch_pixels or engine.batch_pixels
    return Budget(pixels, settings.batch_images, settings.batch_waste, policy)


def state_of(engine: Engine) -> State:
    """What a worker with this engine says of itself before it has done anything: files are prepared by it."""
    return State(
        boot="",
        warm=True,
        device=engine.device,
        dtype=engine.dtype_name,
        max_scored_pixels=engine.max_scored_pixels,
        cards=engine.cards(),
        queued_pixels=0,
        pixels_per_s=0.0,
        restarts=0,
        memory_bytes=engine.memory_bytes,
    )
