"""The official checkpoint: fetched from a server that misbehaves in every way, and read with suspicion."""

import hashlib
import http.server
import io
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import torch

from models.checkpoints.errors import WeightsDownloadError, WeightsInvalid
from models.checkpoints.metadata import Weights
from models.checkpoints.sources import load_weights, read, resolve
from models.qualiclip.model import PROMPTS, QualiCLIPConfig
from models.qualiclip.official import (
    FILE_NAME,
    LICENSE_NOTICE,
    OFFICIAL_URL,
    default_directory,
    fetch_official,
    official_path,
    read_official,
)

QUICK = httpx.Timeout(0.3, connect=5.0)


def checkpoint(**changes: object) -> dict[str, object]:
    """A state dict with the official names and a tower of one layer."""
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(14, 1024, generator=generator), dim=-1)
    return {
        "clip_model.visual.conv1.weight": torch.randn(64, 64, 3, 3, generator=generator),
        "clip_model.logit_scale": torch.tensor(4.6),
        "prompts_features": features,
    } | changes


def saved(state: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


CONTENT = saved(checkpoint())
DIGEST = hashlib.sha256(CONTENT).hexdigest()


# --- a server on a loopback port


@dataclass
class Server:
    """What the server has, and how it behaves: each of `cuts` ends one answer after so many bytes."""

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    status: int = 200
    length: bool = True
    content_range: str | None = None
    extra: bytes = b""
    cuts: list[int] = field(default_factory=list)
    stall: threading.Event | None = None
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        if self.status != 200:
            handler.send_error(self.status)
            return
        body, status, headers = self.content, 200, dict(self.headers)
        valid = handler.headers.get("If-Range") in self.headers.values()
        if wanted and self.ranges and valid:
            start, total = int(wanted.removeprefix("bytes=").removesuffix("-")), len(self.content)
            body, status = self.content[start:], 206
            headers["Content-Range"] = self.content_range or f"bytes {start}-{total - 1}/{total}"
        body += self.extra
        handler.send_response(status)
        if self.length:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.close_connection = True
        if self.cuts:
            body = body[: self.cuts.pop(0)]
            handler.wfile.write(body)
            handler.wfile.flush()
            if self.stall is not None:
                self.stall.wait(30)
            return
        handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        made.url = f"http://127.0.0.1:{listening.server_port}/weights/qualiclip.pth"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        if made.stall is not None:
            made.stall.set()
        listening.shutdown()
        thread.join()


def failure(server: Server, folder: Path, **options: object) -> str:
    """Why a download fails, which one sentence says, with how to do without; no file appears."""
    with pytest.raises(WeightsDownloadError) as caught:
        fetch_official(folder, url=server.url, timeout=QUICK, **options)
    assert not official_path(folder).exists()
    match = re.fullmatch(
        r"The official QualiCLIP weights could not be downloaded \((.+)\): "
        + re.escape(f"download {server.url} by hand and put it at {official_path(folder)}."),
        str(caught.value),
    )
    assert match
    return match[1]


def part_of(folder: Path) -> Path:
    return folder / f"{FILE_NAME}.part"


# --- fetching


def test_the_file_is_fetched_once_and_recorded(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "folder"
    path = fetch_official(folder, url=server.url)
    assert path == official_path(folder) == folder / "qualiclip.pth"
    assert path.read_bytes() == CONTENT
    assert (folder / "qualiclip.pth.sha256").read_text() == f"{DIGEST}  qualiclip.pth\n"
    assert fetch_official(folder, url=server.url, sha256=DIGEST.upper()) == path
    assert server.asked == [None]
    assert not list(folder.glob("*.part*"))


def test_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fetch_official(tmp_path, url=server.url, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) > 2
    assert all(earlier[0] < later[0] for earlier, later in itertools.pairwise(told))


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": "Sat, 01 Jun 2024 10:00:00 GMT"}])
def test_a_cut_connection_is_resumed_at_once(server: Server, headers: dict[str, str], tmp_path: Path) -> None:
    server.headers = headers
    server.cuts = [50_000, 30_000]
    path = fetch_official(tmp_path, url=server.url)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=50000-", "bytes=80000-"]


def test_a_download_that_failed_is_resumed_by_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [50_000, 0]
    assert failure(server, tmp_path) == "the connection was cut; what came is kept"
    assert part_of(tmp_path).stat().st_size == 50_000
    told: list[int] = []
    fetch_official(tmp_path, url=server.url, progress=lambda done, total: told.append(done))
    assert server.asked == [None, "bytes=50000-", "bytes=50000-"]
    assert told[0] == 50_000
    assert official_path(tmp_path).read_bytes() == CONTENT


def test_a_server_that_cuts_forever_is_given_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [100] * 100
    assert failure(server, tmp_path) == "the connection was cut; what came is kept"
    assert len(server.asked) == 5


def test_a_server_that_stops_sending(server: Server, tmp_path: Path) -> None:
    server.cuts, server.stall = [50_000, 0], threading.Event()
    assert failure(server, tmp_path) == "the server stopped answering; what came is kept"
    assert part_of(tmp_path).stat().st_size == 50_000


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = [50_000, 60_000], False
    path = fetch_official(tmp_path, url=server.url)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=50000-", "bytes=60000-"]


def test_a_file_that_changed_meanwhile_starts_over(server: Server, tmp_path: Path) -> None:
    server.cuts = [50_000, 0]
    failure(server, tmp_path)
    other = saved(checkpoint(**{"clip_model.logit_scale": torch.tensor(1.0)}))
    server.content, server.headers = other, {"ETag": '"two"'}
    assert fetch_official(tmp_path, url=server.url).read_bytes() == other


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_a_file_without_a_version_is_never_pieced_together(
    server: Server, headers: dict[str, str], tmp_path: Path
) -> None:
    server.headers, server.cuts = headers, [50_000]
    failure(server, tmp_path)
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT
    assert server.asked == [None, None]


@pytest.mark.parametrize("content_range", ["bytes 0-99/100", "bytes 50001-100000/*", "nonsense"])
def test_a_wrong_range_starts_over(server: Server, content_range: str, tmp_path: Path) -> None:
    server.cuts, server.content_range = [50_000], content_range
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=50000-", None]


def test_a_part_of_another_address_is_not_used(server: Server, tmp_path: Path) -> None:
    server.cuts = [50_000, 0]
    failure(server, tmp_path)
    fetch_official(tmp_path, url=server.url + "?mirror")
    assert server.asked[2:] == [None]


@pytest.mark.parametrize("origin", [b"", b"{}", b"[]", b'{"url": 1}', None])
def test_a_part_of_unknown_origin_is_not_used(server: Server, origin: bytes | None, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(b"x" * 1000)
    if origin is not None:
        (tmp_path / f"{FILE_NAME}.part.json").write_bytes(origin)
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_part_that_is_whole_needs_no_network(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(CONTENT)
    origin = {"url": server.url, "validator": '"one"', "total": len(CONTENT)}
    (tmp_path / f"{FILE_NAME}.part.json").write_text(json.dumps(origin))
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_is_reported(server: Server, status: int, tmp_path: Path) -> None:
    server.status = status
    assert failure(server, tmp_path) == f"127.0.0.1 answered {status}"


def test_without_a_network_it_fails_at_once(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}/qualiclip.pth"
    began = time.monotonic()
    assert failure(server, tmp_path) == "there is no connection to 127.0.0.1"
    assert time.monotonic() - began < 3


def test_a_file_without_a_length_is_refused(server: Server, tmp_path: Path) -> None:
    server.length = False
    assert failure(server, tmp_path) == "the server does not say how large the file is"


def test_an_encoded_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.headers["Content-Encoding"] = "gzip"
    assert failure(server, tmp_path) == "the server does not say how large the file is"


def test_a_file_of_absurd_size_is_refused(server: Server, tmp_path: Path) -> None:
    server.length = False
    server.headers["Content-Length"] = str(2**40)
    assert failure(server, tmp_path) == f"a file of {2**40} bytes is not the checkpoint"


def test_an_overlong_rest_is_refused(server: Server, tmp_path: Path) -> None:
    server.cuts = [50_000, 0]
    failure(server, tmp_path)
    server.extra = b"x" * 100_000
    assert failure(server, tmp_path) == "the server sent more than it announced"


@pytest.mark.parametrize(
    "content", [b"<html>Please sign in.</html>", b"", saved({"weights": 1}), CONTENT[:50_000]]
)
def test_wrong_content_is_neither_kept_nor_trusted(server: Server, content: bytes, tmp_path: Path) -> None:
    server.content = content
    reason = failure(server, tmp_path)
    assert "not a checkpoint of QualiCLIP" in reason or "0 bytes is not the checkpoint" in reason
    assert {path.name for path in tmp_path.iterdir()} <= {f"{FILE_NAME}.lock"}
    server.content = CONTENT
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT


def test_a_folder_that_cannot_be(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsDownloadError, match=r"cannot be used: .+ by hand and put it at"):
        fetch_official(tmp_path / "file" / "folder", url=server.url)


# --- what the file is held to


def test_a_pin_refuses_another_file(server: Server, tmp_path: Path) -> None:
    pin = "0" * 64
    assert failure(server, tmp_path, sha256=pin) == (
        f"the file there has the SHA-256 {DIGEST}, not the expected {pin}"
    )
    assert not part_of(tmp_path).exists()
    assert fetch_official(tmp_path, url=server.url, sha256=DIGEST).read_bytes() == CONTENT


def test_a_later_download_is_held_to_the_first(server: Server, tmp_path: Path) -> None:
    fetch_official(tmp_path, url=server.url).unlink()
    server.content = saved(checkpoint(**{"clip_model.logit_scale": torch.tensor(1.0)}))
    assert "not the expected " + DIGEST in failure(server, tmp_path)
    server.content = CONTENT
    assert fetch_official(tmp_path, url=server.url).read_bytes() == CONTENT


def test_a_file_that_was_exchanged_is_noticed(server: Server, tmp_path: Path) -> None:
    path = fetch_official(tmp_path, url=server.url)
    path.write_bytes(saved(checkpoint(**{"clip_model.logit_scale": torch.tensor(1.0)})))
    for use in (lambda: fetch_official(tmp_path, url=server.url), lambda: read_official(path)):
        with pytest.raises(WeightsInvalid, match=f"not the expected {DIGEST}: delete it"):
            use()


def test_a_file_put_there_by_hand_is_checked_and_recorded(server: Server, tmp_path: Path) -> None:
    path = official_path(tmp_path)
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(WeightsInvalid, match="truncated, corrupt"):
        fetch_official(tmp_path, url=server.url)
    assert not (tmp_path / "qualiclip.pth.sha256").exists()
    path.write_bytes(CONTENT)
    assert fetch_official(tmp_path, url=server.url) == path
    assert (tmp_path / "qualiclip.pth.sha256").read_text().startswith(DIGEST)
    assert server.asked == []


def test_a_damaged_record_is_said_to_be_one(server: Server, tmp_path: Path) -> None:
    path = fetch_official(tmp_path, url=server.url)
    (tmp_path / "qualiclip.pth.sha256").write_text("abc")
    with pytest.raises(WeightsInvalid, match=r"qualiclip\.pth\.sha256 does not hold a SHA-256"):
        read_official(path)


@pytest.mark.parametrize("pin", ["", "abc", "g" * 64, DIGEST + "0"])
def test_a_pin_that_is_none(pin: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="is not a SHA-256"):
        fetch_official(tmp_path, sha256=pin)


# --- several at once


def test_threads_share_one_download(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch_official(tmp_path, url=server.url), range(4)))
    assert set(paths) == {official_path(tmp_path)}
    assert paths[0].read_bytes() == CONTENT
    assert server.asked == [None]


@pytest.mark.process
def test_a_killed_process_hands_over_what_it_has(server: Server, tmp_path: Path) -> None:
    server.cuts, server.stall = [50_000], threading.Event()
    code = (
        "import sys, pathlib; from models.qualiclip.official import fetch_official;"
        "fetch_official(pathlib.Path(sys.argv[1]), url=sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), server.url]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        deadline = time.monotonic() + 60
        while not part_of(tmp_path).exists() or part_of(tmp_path).stat().st_size == 0:
            assert process.poll() is None, "the process ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(fetch_official, tmp_path, url=server.url)
            time.sleep(0.2)
            assert not waiting.done()
            assert len(server.asked) == 1
            process.send_signal(signal.SIGKILL)
            path = waiting.result(timeout=30)
    assert path.read_bytes() == CONTENT
    assert server.asked[1].startswith("bytes=")


# --- reading


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(CONTENT)
    return path


def refusal(path: Path, state: object, **options: object) -> str:
    path.write_bytes(state if isinstance(state, bytes) else saved(state, **options))
    with pytest.raises(WeightsInvalid) as caught:
        read_official(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_the_checkpoint_becomes_weights(path: Path) -> None:
    loaded = read_official(path, sha256=DIGEST)
    assert isinstance(loaded, Weights)
    assert loaded.path == path
    assert loaded.sha256 == DIGEST
    assert loaded.tensors.keys() == {"visual.conv1.weight", "logit_scale", "prompts_features"}
    for name, tensor in loaded.tensors.items():
        original = checkpoint().get(f"clip_model.{name}", checkpoint().get(name))
        assert torch.equal(tensor, original)


def test_the_metadata_that_the_file_lacks(path: Path) -> None:
    metadata = read_official(path).metadata
    assert metadata.name == "qualiclip-official"
    assert metadata.model == "qualiclip"
    assert QualiCLIPConfig.from_metadata(metadata.architecture) == QualiCLIPConfig()
    assert metadata.preprocessing.longest_side is None
    assert metadata.temperature == 100.0
    assert tuple(metadata.prompts) == PROMPTS
    assert metadata.text_encoder
    assert metadata.license == "CC BY-NC 4.0"
    assert metadata.source == OFFICIAL_URL


def test_the_license_is_named() -> None:
    assert "CC BY-NC 4.0" in LICENSE_NOTICE
    assert "no commercial use" in LICENSE_NOTICE


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_parameters_and_both_file_formats(options: dict[str, bool], path: Path) -> None:
    state = checkpoint(unrelated=torch.ones(2), prompts_features=torch.nn.Parameter(torch.ones(14, 1024)))
    path.write_bytes(saved(state, **options))
    loaded = read_official(path)
    assert "unrelated" not in loaded.tensors
    assert not any(tensor.requires_grad for tensor in loaded.tensors.values())


def test_the_slot_qualiclip_takes_it_and_no_other(path: Path, server: Server) -> None:
    assert read(path, "qualiclip").metadata.name == "qualiclip-official"
    renamed = path.rename(path.with_name("misnamed.safetensors"))
    assert load_weights("qualiclip", renamed).metadata.name == "qualiclip-official"
    for model in ("bpclip", "bpclip-fr"):
        with pytest.raises(
            WeightsInvalid, match="pickle or zip archive, which can run code and is not opened"
        ):
            read(renamed, model)


def test_official_is_a_source(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    official_path().parent.mkdir(parents=True)
    official_path().write_bytes(CONTENT)
    assert resolve("qualiclip", "official") == default_directory() / "qualiclip.pth"
    assert load_weights("qualiclip", "official", sha256=DIGEST).sha256 == DIGEST
    other = tmp_path / "elsewhere"
    other.mkdir()
    official_path(other).write_bytes(CONTENT)
    assert resolve("qualiclip", "official", directory=other) == other / "qualiclip.pth"


def test_another_digest_is_refused(path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="not the expected 000"):
        read_official(path, sha256="0" * 64)


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_the_file_does_not_run(path: Path, zipped: bool) -> None:
    sprung = path.with_name("sprung")
    state = checkpoint(trap=Trap(sprung))
    message = refusal(path, state, _use_new_zipfile_serialization=zipped)
    assert message.endswith("a pickle with code in it, which is refused and not run.")
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap itself works
    assert sprung.is_dir()


@pytest.mark.parametrize(
    "content", [CONTENT[:50_000], CONTENT[:-100], b"PK\x03\x04", b"", b"letter", b"\x80\x02"]
)
def test_damaged_files_are_refused(path: Path, content: bytes) -> None:
    assert re.search("truncated, corrupt|damaged", refusal(path, content))


def test_a_damaged_middle_is_refused(path: Path) -> None:
    damaged = bytearray(saved(checkpoint(), _use_new_zipfile_serialization=False))
    damaged[:200] = bytes(reversed(damaged[:200]))
    assert re.search("truncated, corrupt|damaged", refusal(path, bytes(damaged)))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ([1, 2], "it has no prompts_features"),
        (torch.ones(3), "it has no prompts_features"),
        ({"clip_model.a": torch.ones(1)}, "it has no prompts_features"),
        ({"state_dict": checkpoint()}, "it has no prompts_features"),
        (checkpoint(prompts_features=torch.ones(14, 2)), "its prompts_features are (14, 2), not (14, 1024)"),
        (checkpoint(prompts_features="text"), "not all its entries are tensors"),
        (checkpoint(**{"clip_model.x": {"a": 1}}), "not all its entries are tensors"),
        ({"prompts_features": torch.ones(14, 1024)}, "it has no clip_model. tensors"),
    ],
    ids=["list", "tensor", "no features", "nested", "shape", "text", "dict", "no tower"],
)
def test_other_checkpoints_are_refused(path: Path, state: object, reason: str) -> None:
    assert refusal(path, state) == f" is not a checkpoint of QualiCLIP: {reason}."


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says that it looks closely at sparse tensors
def test_tensors_of_other_layouts_are_refused(path: Path) -> None:
    message = refusal(path, checkpoint(**{"clip_model.x": torch.ones(2, 2).to_sparse()}))
    assert message == " is not a checkpoint of QualiCLIP: not all its entries are tensors."


def test_values_that_are_not_finite_are_refused(path: Path) -> None:
    message = refusal(path, checkpoint(**{"clip_model.x": torch.tensor([1.0, float("nan")])}))
    assert message == " has values that are not finite numbers, in the tensor x."


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"nowhere\.pth cannot be read: No such file"):
        read_official(tmp_path / "nowhere.pth")
