"""Load the settings: sources, model, conflicts."""

import os
from collections.abc import Mapping

from pydantic import ValidationError

from flows.settings.model import FIELD_OF, Settings
from flows.settings.sources import explain_errors, one_line, read_raw
from operators.errors import SettingsError


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `DEDUP_*` variables and the YAML file of `DEDUP_CONFIG`.

    environ: the variables; None means those of the process.
    Raises SettingsError, one line that names every setting that is unknown or
    wrong, as it was written, with what to write instead.
    """
    written = read_raw(os.environ if environ is None else environ, FIELD_OF.keys())
    try:
        settings = Settings(**written.values)
    except ValidationError as error:
        raise SettingsError(one_line(written.unknown + explain_errors(error, written))) from None
    if written.unknown:
        raise SettingsError(one_line(written.unknown))
    return settings
