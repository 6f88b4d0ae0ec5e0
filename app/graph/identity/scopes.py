"""The word for what one may do."""

from app.graph.fields import show_enum
from app.identity.scopes import MEANINGS, Scope

show_enum(Scope, "What one may do.", MEANINGS)
