"""What can be wrong with a file of scores."""


class OutputError(Exception):
    """A file of scores cannot be written, read or resumed; the message is one sentence."""
