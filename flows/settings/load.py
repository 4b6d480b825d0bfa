"""Load the settings: read the sources, make the model, look for conflicts."""

import os
from collections.abc import Mapping

from pydantic import ValidationError

from flows.settings.conflicts import find_conflicts
from flows.settings.model import FIELD_OF, Settings
from flows.settings.sources import RawSettings, explain_errors, one_line, read_raw
from operators.errors import SettingsError


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `DEDUP_*` variables and the YAML file of `DEDUP_CONFIG`.

    environ: the variables; None means those of the process.
    Raises SettingsError, one line that names each unknown or wrong setting as it was
    written, and says what to write instead.
    """
    return make_settings(read_raw(os.environ if environ is None else environ, FIELD_OF.keys()))


def make_settings(raw: RawSettings) -> Settings:
    """Make settings from raw values.  Raises SettingsError as `load_settings` does."""
    try:
        settings = Settings(**raw.values)
    except ValidationError as error:
        raise SettingsError(one_line(raw.unknown + explain_errors(error, raw))) from None
    # An unknown name may be a misspelt setting that resolves the conflict.
    problems = raw.unknown or [raw.problem(*conflict) for conflict in find_conflicts(settings)]
    if problems:
        raise SettingsError(one_line(problems))
    return settings
