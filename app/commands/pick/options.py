"""The arguments and options of ``iqa pick``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class PickOptions:
    """Arguments and options of ``iqa pick``, beside the settings."""

    files: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Folders of photographs, or files.", show_default=False),
    ]
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders within folders too.")
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each group.")] = False
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table with a row for each photograph of a group.")
    ] = False
    xmp: Annotated[
        bool,
        typer.Option(
            "--xmp",
            help="Write a rating beside each photograph of a group, as FILE.xmp: 5 for the one to keep, 1 "
            "for the others. A sidecar that exists stays as it is.",
        ),
    ] = False
    overwrite_xmp: Annotated[
        bool, typer.Option("--overwrite-xmp", help="With --xmp: replace sidecars that exist.")
    ] = False
    move: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Move the others of each group to this folder, with their sidecars. Nothing is deleted.",
            show_default=False,
        ),
    ] = None
