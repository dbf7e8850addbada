"""The client's address in the log: a proxy is believed where it is trusted, and nowhere else."""

import httpx
import pytest

from tests.app.running import eventually, running

pytestmark = pytest.mark.process

_CLIENT = "203.0.113.7"


@pytest.mark.parametrize(
    ("trusted", "logged"), [(None, "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", _CLIENT)]
)
def test_who_asked(weights_environment: dict[str, str], trusted: str | None, logged: str) -> None:
    with running({**weights_environment, "IQA_TRUSTED_PROXIES": trusted}) as (server, client):
        headers = {"X-Forwarded-For": _CLIENT, "X-Request-ID": "asked"}
        assert httpx.get(f"{client.base_url}/models", headers=headers).status_code == 200
        eventually(lambda: any(entry.get("id") == "asked" for entry in server.entries()), 10)
        (entry,) = (entry for entry in server.entries() if entry.get("id") == "asked")
        assert entry["client"] == logged
