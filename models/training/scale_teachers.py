"""Rewrites the common scale of the full-reference teachers.

    python -m models.training.scale_teachers PRISTINE CELLS

PRISTINE is the folder of good photographs, CELLS where `iqa train` keeps what it has computed.
"""

import sys
from pathlib import Path

from models.training.jobs import judged
from models.training.targets.teachers import scale_of, write_down

if __name__ == "__main__":
    pristine, kept = map(Path, sys.argv[1:])
    write_down(scale_of(judged(pristine, kept)))
