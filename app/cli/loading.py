"""Loads what takes long to load when it is needed, and not before."""

import gc
from pkgutil import resolve_name
from typing import Any


def loaded(place: str) -> Any:
    """What stands at `module:attribute`."""
    # Modules stay: looking for garbage in them, again and again while they grow, would take a fifth of the time.
    gc.disable()
    try:
        return resolve_name(place)
    finally:
        gc.enable()
