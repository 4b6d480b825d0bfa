"""The errors that a user can cause."""


class DedupError(Exception):
    """An error that a user can cause and fix.

    Its text is one line that names the setting, topic, partition, offset or file, and
    says what to do.  The command prints that line and exits non-zero.  Any other
    exception is a defect and keeps its traceback.
    """


class SettingsError(DedupError):
    """A setting is unknown, wrong, or in conflict with another one."""


class SourceError(DedupError):
    """The input cannot be read: broker, topic, offset, permission or file."""


class SinkError(DedupError):
    """The output was rejected or cannot be written."""


class StateError(DedupError):
    """Stored state does not fit these settings, or cannot be read."""
