"""What a store of objects needs beside its address: read from a setting, and secret."""

import json
from collections.abc import Mapping

from pydantic import SecretStr


def read_storage_options(options: SecretStr) -> Mapping[str, str | bool]:
    """The options by their names; raises ValueError, which says nothing of what stands in them."""
    # Raised out here and not where it was caught: what the parser raises holds the whole text, secrets and all.
    read = _read(options.get_secret_value())
    if read is None:
        raise ValueError('must be a JSON object of texts and booleans, such as {"region": "eu-central-1"}')
    return read


def _read(text: str) -> Mapping[str, str | bool] | None:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or not all(isinstance(value, (str, bool)) for value in read.values()):
        return None
    return read
