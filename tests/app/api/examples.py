"""The examples of the OpenAPI document: answers of a service with the bundled weights, written to its folder.

    python -m tests.app.api.examples

Run it after a change of the answers or of the weights. Long lists are cut to their first members.
"""

import io
import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
from PIL import Image

from app.api.examples import FOLDER
from tests.app.running import running
from tests.photographs import named

MOST: Final = {"adjectives": 4, "prompt_pairs": 2, "limits": 3}
"""How many members of a list an example shows, where there are more."""


def answered(client: httpx.Client) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each example by its name."""
    coffee = Image.fromarray(named()["coffee"])
    original, copy = (_jpeg(coffee, quality) for quality in (92, 14))
    pair = {"reference": ("original.jpg", original), "distorted": ("copy.jpg", copy)}
    for name, asked in {
        "score": client.post("/score?policy=upload", content=copy),
        "score-summary": client.post("/score?detail=summary&policy=upload", content=copy),
        "compare": client.post("/compare", files=pair),
        "policies": client.get("/policies"),
    }.items():
        yield name, shortened(asked.raise_for_status().json())


def shortened(value: Any, name: str = "") -> Any:
    """A value of JSON with lists of :data:`MOST` members."""
    if isinstance(value, dict):
        return {key: shortened(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value[: MOST.get(name)]]
    return round(value, 4) if isinstance(value, float) else value


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def main() -> None:
    with running({}) as (_, client):
        for name, example in answered(client):
            text = json.dumps(example, indent=1, ensure_ascii=False)
            (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
