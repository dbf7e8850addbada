"""What can be wrong with weights. The message is one sentence for the person who chose the file:

WeightsError
├── WeightsNotFound       there is no such file
├── WeightsInvalid        the file is not what it should be
├── WeightsUntrained      its numbers are arbitrary, and the caller did not allow that
├── WeightsNeedTorch      they must be prepared by torch, which is not installed
└── WeightsDownloadError  the file could not be fetched
"""


class WeightsError(Exception):
    """Weights that cannot be used; the message is one sentence that says why."""


class WeightsNotFound(WeightsError):
    """There is no file where the weights should be."""


class WeightsInvalid(WeightsError):
    """The file is damaged, of another kind, or holds another model than was asked for."""


class WeightsUntrained(WeightsError):
    """The numbers in the file are arbitrary: good only for measuring speed."""


class WeightsNeedTorch(WeightsError):
    """The installation has no torch, and of these weights there are no graphs that run without it."""


class WeightsDownloadError(WeightsError):
    """The weights could not be fetched."""
