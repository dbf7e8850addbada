"""Examples of answers for the OpenAPI document, as a service with the bundled weights gave them.

``python -m tests.app.api.examples`` renews them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
SHOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "score_image": {
        "score": "A photograph that was compressed too much, with a verdict; lists are shortened.",
        "score-summary": "The same with `detail=summary`.",
    },
    "compare_images": {"compare": "A photograph and its compressed copy; lists are shortened."},
    "list_policies": {"policies": "The built-in policy; its limits are shortened."},
}
"""What an example shows, by operation and by the name of its file."""


def examples_of(operation: str) -> dict[str, Any]:
    """The examples of an operation's successful answer; of most operations none."""
    return {
        name: {
            "summary": summary,
            "value": json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")),
        }
        for name, summary in SHOWN.get(operation, {}).items()
    }
