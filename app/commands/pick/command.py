"""``iqa pick``: groups of near duplicates in folders, and the photograph of each group to keep."""

from app.commands.flags import IN_PROCESS, with_options, with_settings
from app.commands.pick.options import PickOptions
from app.commands.terminal import fail, reported
from app.settings import Settings


@reported
@with_settings(*IN_PROCESS)
@with_options
def pick_files(options: PickOptions, settings: Settings) -> None:
    """Find near duplicates, and the photograph of each group to keep.

    Copies, crops and edits of a photograph are a group, and so are the frames of a burst, by the time that
    the camera wrote. Without --xmp and --move nothing is changed. Photographs without a near duplicate are
    not listed.

    Exit status: 0; 1 if some files could not be scored, rated or moved, which are named; 2 for wrong usage,
    settings or weights.
    """
    if options.as_json and options.as_csv:
        fail("--json and --csv print the same in two ways: it can only be one of them.")
    if options.overwrite_xmp and not options.xmp:
        fail("--overwrite-xmp goes with --xmp.")
    from app.commands.pick.run import run_pick  # with all that scores

    run_pick(options, settings)
