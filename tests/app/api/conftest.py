"""A server that remembers its answers, takes small files only, and has policies of its own."""

from collections.abc import Iterator

import httpx
import pytest

from tests.app.running import Server, running

MAX_BODY_BYTES = 200_000
POLICIES = """
[everything]
description = "Nothing is turned away."
pixels = { fail = 1 }

[nothing]
origin = "Set for a test."
side = { review = 1000, message = "Come nearer." }
limits = [
    { score = true, review = 1.0 },
    { dimension = "sharpness", model = "qualiclip", fail = 1.0 },
    { adjective = "blurry", model = "bpclip", fail = 0.0, message = "It is blurry." },
]

[of-others]
weights = { bpclip = "bpclip-tiny", qualiclip = "qualiclip-large" }
limits = [{ score = true, model = "bpclip", fail = 0.0 }]

[close]
misaligned = "fail"
comparisons = [
    { measure = "psnr_db", fail = 20, review = 60, message = "Too far apart." },
    { measure = "score", fail = 0.0 },
    { measure = "mdsi", fail = 1.0 },
]

[[light.limits]]
exposure = "p99_luminance"
bad = "below"
fail = 0.05
review = 0.1
message = "Too dark: turn on the light."

[[light.limits]]
exposure = "clipped_highlights"
bad = "above"
fail = 0.5
"""


@pytest.fixture(scope="session")
def remembering_server(
    weights_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, httpx.Client]]:
    policies = tmp_path_factory.mktemp("policies") / "policies.toml"
    policies.write_text(POLICIES, encoding="utf-8")
    environment = {
        "IQA_CACHE_BYTES": None,
        "IQA_DECODE_PROCESSES": None,
        "IQA_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "IQA_MAX_FILES": "5",
        "IQA_POLICIES_FILE": str(policies),
    }
    with running(environment | weights_environment) as (server, client):
        yield server, client


@pytest.fixture
def remembering(remembering_server: tuple[Server, httpx.Client]) -> httpx.Client:
    """A client of that server."""
    return remembering_server[1]
