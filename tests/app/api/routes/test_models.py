"""GET /models on a running server: what the kernel enforces on its decoders."""

import httpx
import pytest

from app.client import Client

pytestmark = pytest.mark.process


def test_it_says_what_holds_the_decoders(client: httpx.Client, photo: bytes) -> None:
    client.post("/score", content=photo).raise_for_status()  # then one of them has started
    sandbox = client.get("/models").json()["sandbox"]
    assert set(sandbox) == {"landlock", "seccomp"}
    assert sandbox["landlock"] > 0
    assert sandbox["seccomp"] is True
    with Client(str(client.base_url)) as ours:
        described = ours.models().sandbox
    assert described is not None
    assert described.model_dump() == sandbox
