"""POST /score on a running server."""

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.imaging.metering import measure_exposure
from models.qualiclip.model import PROMPT_PAIRS
from models.vocabulary import DIMENSIONS, PAIRS, WORDS
from tests.app.files import encoded, png_header, turned
from tests.app.problems import is_problem
from tests.photographs import named

pytestmark = pytest.mark.process


def test_a_summary_says_what_is_acted_on_in_a_kilobyte(client: httpx.Client, photo: bytes) -> None:
    full = client.post("/score?policy=upload", content=photo).json()
    response = client.post("/score?policy=upload&detail=summary", content=photo)
    brief = response.json()
    assert len(response.content) < 1024 + len(json.dumps(brief["verdict"]))
    assert len(client.post("/score?detail=summary", content=photo).content) < 1024
    for name in ("model", "reading", "percentile", "summary", "confidence", "warnings", "verdict"):
        assert brief[name] == full[name]
    assert brief["score"] == pytest.approx(full["score"], abs=1e-4)
    assert [fault["message"] for fault in brief["faults"]] == [fault["message"] for fault in full["faults"]]
    assert list(brief["models"]) == list(full["models"])
    assert brief["image"].items() <= full["image"].items()
    mapped = client.post("/score?quality_map=true&detail=summary", content=photo).json()
    assert mapped["quality_map"]["values"]


def test_near_duplicates_have_embeddings_that_are_alike(client: httpx.Client) -> None:
    def vector(photo: NDArray[np.uint8], query: str = "", **options: int) -> NDArray[np.float64]:
        answer = client.post(f"/score?embedding=true{query}", content=encoded(photo, **options)).json()
        embedding = answer["embedding"]
        assert (embedding["model"], embedding["dtype"]) == (answer["model"], "float32")
        assert embedding["length"] == len(embedding["values"])
        return np.array(embedding["values"])

    cat, coffee = named()["chelsea"], named()["coffee"]
    one, copy, other = vector(cat), vector(cat, quality=85), vector(coffee)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-3)
    assert one @ copy > one @ other
    np.testing.assert_allclose(vector(cat, "&detail=summary"), one, atol=1e-4)
    assert len(vector(cat, "&models=qualiclip")) != 0
    assert client.post("/score", content=encoded(cat)).json()["embedding"] is None


def test_the_answer_has_the_shape_of_the_contract(client: httpx.Client, photo: bytes) -> None:
    response = client.post("/score", files={"image": ("cat.jpg", photo, "image/jpeg")})
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {
        "score", "model", "dimensions", "models", "image", "facts", "warnings", "verdict", "quality_map",
        "detail", "timing_ms", "batch", "reading", "percentile", "summary", "faults", "confidence",
        "embedding",
    }  # fmt: skip
    assert answer["model"] == "bpclip"
    assert list(answer["models"]) == ["qualiclip", "bpclip"]
    assert answer["score"] == answer["models"]["bpclip"]["score"]
    assert answer["dimensions"] == answer["models"]["bpclip"]["dimensions"]
    for name in ("reading", "percentile", "summary", "faults"):
        assert answer[name] == answer["models"]["bpclip"][name]
    assert answer["confidence"] == {"level": "high", "reasons": []}
    assert answer["verdict"] is None
    assert answer["quality_map"] is None
    assert answer["detail"] is None
    assert answer["batch"] == {"images": 1}
    assert set(answer["timing_ms"]) == {"decode", "queue", "inference", "total"}
    assert sum(answer["timing_ms"].values()) <= 2 * answer["timing_ms"]["total"] + 1
    assert answer["image"] == {
        "width": 451,
        "height": 300,
        "format": "JPEG",
        "bytes": len(photo),
        "sha256": hashlib.sha256(photo).hexdigest(),
        "frames": 1,
        "orientation_applied": False,
        "color_converted": False,
        "color_space": "sRGB (assumed)",
        "dynamic_range": "sdr",
        "monochrome": False,
        "photograph": True,
    }
    with Image.open(io.BytesIO(photo)) as image:
        exposure = measure_exposure(np.array(image))
    assert answer["facts"]["exposure"] == vars(exposure)
    facts = {name: value for name, value in answer["facts"].items() if name != "exposure"}
    assert facts["monochrome"] is False
    assert 0 < facts["effective_scale"] <= 1
    assert 5 < facts["entropy"] < 8
    assert (facts["jpeg_quality"], facts["chroma_subsampling"]) == (92, "4:2:0")
    for name, model in answer["models"].items():
        assert 0 <= model["score"] <= 1
        assert list(model["dimensions"]) == list(DIMENSIONS)
        assert [adjective["adjective"] for adjective in model["adjectives"]] == list(WORDS)
        assert model["scored"] == {"width": 384, "height": 255}
        assert model["weights"]["name"] == f"{name}-tiny"
        assert len(model["weights"]["sha256"]) == 64
        pairs = zip(model["adjectives"][::2], model["adjectives"][1::2], strict=True)
        assert all(good["probability"] + bad["probability"] == pytest.approx(1) for good, bad in pairs)
    prompts = [(pair["positive"], pair["negative"]) for pair in answer["models"]["qualiclip"]["prompt_pairs"]]
    assert prompts == list(PROMPT_PAIRS)
    assert answer["models"]["bpclip"]["prompt_pairs"] == []


def test_tiles_at_native_size(client: httpx.Client) -> None:
    large = encoded(np.tile(named()["coffee"], (2, 1, 1)), quality=92)
    plain = client.post("/score", content=large).json()
    answer = client.post("/score?detail_crops=true", content=large).json()
    assert plain["detail"] is None  # neither is taken for the other by the cache
    detail = answer["detail"]
    assert detail["model"] == "bpclip"
    assert [(tile["width"], tile["height"]) for tile in detail["tiles"]] == [(384, 384)] * 2
    for name in ("score", "sharpness", "cleanness"):
        assert detail[name] == min(tile[name] for tile in detail["tiles"])
    # A JPEG file is decoded whole then, and scaled from more pixels.
    assert answer["score"] == pytest.approx(plain["score"], abs=0.02)
    assert answer["models"].keys() == plain["models"].keys()
    assert answer["models"]["bpclip"]["scored"] == plain["models"]["bpclip"]["scored"]
    tile = detail["tiles"][0]
    with Image.open(io.BytesIO(large)) as image:
        box = tile["left"], tile["top"], tile["left"] + tile["width"], tile["top"] + tile["height"]
        part = np.array(image.crop(box))
    alone = client.post("/score?models=bpclip", content=encoded(part, "PNG")).json()
    assert tile["score"] == pytest.approx(alone["score"], abs=5e-3)
    assert tile["sharpness"] == pytest.approx(alone["dimensions"]["sharpness"], abs=5e-3)
    other = client.post("/score?detail_crops=true&models=qualiclip", content=large).json()
    assert other["detail"]["model"] == "qualiclip"


def test_a_dimension_is_the_mean_of_its_good_words(client: httpx.Client, photo: bytes) -> None:
    model = client.post("/score", content=photo).json()["models"]["qualiclip"]
    probability = {adjective["adjective"]: adjective["probability"] for adjective in model["adjectives"]}
    good = [probability[pair.positive] for pair in PAIRS if pair.dimension == "cleanness"]
    assert model["dimensions"]["cleanness"] == pytest.approx(np.mean(good), abs=1e-6)


def test_headers(client: httpx.Client, photo: bytes) -> None:
    response = client.post("/score", content=photo, headers={"X-Request-ID": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    assert response.headers["cache-control"] == "no-store"
    assert [part.split(";")[0] for part in response.headers["server-timing"].split(", ")] == [
        "decode", "queue", "inference", "total"
    ]  # fmt: skip
    insane = client.post("/score", content=photo, headers={"X-Request-ID": "a b" * 99})
    assert len(insane.headers["x-request-id"]) == 32


@pytest.mark.parametrize("label", ["image/jpeg", "image/png", "application/octet-stream", "text/plain", None])
def test_raw_bytes_are_as_good_as_multipart(client: httpx.Client, photo: bytes, label: str | None) -> None:
    raw = client.post("/v1/score", content=photo, headers={"Content-Type": label} if label else {})
    form = client.post("/score", files={"image": photo})
    assert raw.json()["models"] == form.json()["models"]


def test_models_are_chosen(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/score?models=qualiclip", content=photo).json()
    assert answer["model"] == "qualiclip"
    assert list(answer["models"]) == ["qualiclip"]
    both = client.post("/score?models=bpclip,qualiclip", content=photo).json()
    assert (both["model"], list(both["models"])) == ("bpclip", ["bpclip", "qualiclip"])
    assert both["models"]["qualiclip"]["score"] == pytest.approx(answer["score"], abs=1e-4)


@pytest.mark.parametrize(
    ("format", "name"), [("PNG", "PNG"), ("WEBP", "WebP"), ("TIFF", "TIFF"), ("BMP", "BMP")]
)
def test_lossless_formats_score_alike(client: httpx.Client, format: str, name: str) -> None:
    pixels = named()["coffee"]
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    answer = client.post("/score", content=encoded(pixels, format, **options)).json()
    reference = client.post("/score", content=encoded(pixels, "PNG")).json()
    assert answer["image"]["format"] == name
    assert answer["score"] == pytest.approx(reference["score"], abs=1e-6)


def test_orientation_is_applied(client: httpx.Client) -> None:
    pixels = named()["coffee"]
    upright = client.post("/score", content=encoded(pixels, "PNG")).json()
    # Orientation 6: to be turned by 90 degrees clockwise, so what is stored is turned the other way.
    stored = np.rot90(pixels)
    turned_answer = client.post("/score", content=turned(np.ascontiguousarray(stored), 6)).json()
    assert turned_answer["image"]["orientation_applied"] is True
    assert (turned_answer["image"]["width"], turned_answer["image"]["height"]) == (600, 400)
    assert turned_answer["score"] == pytest.approx(upright["score"], abs=1e-6)


def test_warnings(client: httpx.Client) -> None:
    pixels = named()["coffee"][:300, :300]
    frames = [pixels, 255 - pixels]
    images = [Image.fromarray(frame) for frame in frames]
    animated = encoded(images[0], "GIF", save_all=True, append_images=images[1:])
    answer = client.post("/score", content=animated).json()
    assert answer["image"]["frames"] == 2
    assert [warning.split(":")[0] for warning in answer["warnings"]] == ["several-frames"]
    small = client.post("/score?models=bpclip", content=encoded(pixels[:40, :40], "PNG")).json()
    assert [warning.split(":")[0] for warning in small["warnings"]] == ["outside-validated-sizes"]
    large = client.post("/score?models=bpclip", content=encoded(np.tile(pixels, (2, 2, 1)), "PNG")).json()
    assert [warning.split(":")[0] for warning in large["warnings"]] == ["scaled-down"]


def test_bad_bodies(client: httpx.Client, photo: bytes) -> None:
    is_problem(client.post("/score"), 400, "malformed-request")
    is_problem(client.post("/score", files={"file": photo}), 400, "malformed-request")
    is_problem(client.post("/score", files={"image": photo, "more": photo}), 400, "malformed-request")
    is_problem(client.post("/score", files=[("image", photo), ("image", photo)]), 400, "malformed-request")
    is_problem(client.post("/score", files={"image": b""}), 400, "malformed-request")
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    is_problem(client.post("/score", content=b"--x\r\nnonsense", headers=broken), 400, "malformed-request")
    none = {"Content-Type": "multipart/form-data"}
    is_problem(client.post("/score", content=b"--x--", headers=none), 400, "malformed-request")


def test_bodies_over_the_limit(client: httpx.Client) -> None:
    too_large = b"\xff\xd8\xff" + bytes(2_000_000)
    for response in (
        client.post("/score", content=too_large),
        client.post("/score", content=iter([too_large])),  # chunked, without Content-Length
        client.post("/score", files={"image": too_large}),
    ):
        assert is_problem(response, 413, "body-too-large")["limit_bytes"] == 2_000_000


@pytest.mark.parametrize(
    "data",
    [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"BM is two letters", b"\0"],
    ids=["text", "svg", "pdf", "almost-bmp", "one-byte"],
)
def test_what_is_no_image(client: httpx.Client, data: bytes) -> None:
    body = is_problem(client.post("/score", content=data), 415, "unsupported-media-type")
    assert "JPEG" in body["supported"]


def test_images_that_are_damaged_or_of_a_wrong_size(client: httpx.Client, photo: bytes) -> None:
    is_problem(client.post("/score", content=photo[: len(photo) // 2]), 422, "invalid-image")
    is_problem(client.post("/score", content=png_header(65_000, 65_000)), 422, "image-too-large")
    is_problem(client.post("/score", content=png_header(3_001, 32)), 422, "image-too-large")
    is_problem(client.post("/score", content=png_header(31, 100)), 422, "image-too-small")


def test_bad_questions(client: httpx.Client, photo: bytes) -> None:
    is_problem(client.post("/score?models=clip", content=photo), 422, "unknown-model")
    is_problem(client.post("/score?models=bpclip-fr", content=photo), 422, "unknown-model")
    is_problem(client.post("/score?models=,", content=photo), 422, "invalid-parameter")
    is_problem(client.post("/score?adjectives=gloomy", content=photo), 422, "text-encoder-unavailable")
    is_problem(client.post("/score?adjectives=%3Cb%3E", content=photo), 422, "invalid-parameter")
    body = is_problem(client.post("/score?quality_map=maybe", content=photo), 422, "invalid-parameter")
    assert body["parameter"] == "quality_map"
    body = is_problem(
        client.post("/score", content=photo, headers={"X-Timeout-Ms": "0"}), 422, "invalid-parameter"
    )
    assert body["parameter"] == "x-timeout-ms"


def test_a_deadline_that_cannot_be_met(client: httpx.Client) -> None:
    large = encoded(np.tile(named()["coffee"], (2, 2, 1)), "PNG")
    is_problem(client.post("/score", content=large, headers={"X-Timeout-Ms": "1"}), 504, "deadline-exceeded")


def test_a_full_queue_refuses_at_once(client: httpx.Client, photo: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: client.post("/score", content=photo), range(24)))
    refused = [response for response in responses if response.status_code != 200]
    assert refused
    assert len(refused) < len(responses)
    for response in refused:
        is_problem(response, 429, "overloaded")
        assert int(response.headers["retry-after"]) >= 1


def test_wrong_paths_and_methods_are_problems(client: httpx.Client) -> None:
    is_problem(client.get("/nowhere"), 404, "not-found")
    is_problem(client.get("/score/"), 404, "not-found")
    response = client.get("/score")
    is_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"
