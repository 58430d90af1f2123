"""What can go wrong, as types that a caller may want to catch.

Every message stands alone: it names the file or row, what was expected, what was found, and what to do.
`train.py` prints the message of a `FERError` without a traceback and exits with code 2.
"""


class FERError(Exception):
    """Root of all errors that a user can act on."""


class DatasetNotFoundError(FERError, FileNotFoundError):
    """A raw folder or one of its files is not where it was looked for."""


class DatasetError(FERError, ValueError):
    """A raw file is there but does not hold what its release should hold."""


class LeakError(FERError, ValueError):
    """A group or sample stands in more than one part of a fold."""


class PoolError(FERError, ValueError):
    """The predictions of a run are incomplete, doubled or contradict the manifest."""


class ConfigError(FERError, ValueError):
    """Options that do not fit each other, or a run folder of another config."""


class StorageError(FERError, OSError):
    """A file could not be written, or one of ours not be read; what was finished before is intact."""
