"""How much something matters to who asked to be told of it, in the words that alerts and notifications share."""

from app.alerts.models import Severity
from app.graph.fields import show_enum

show_enum(
    Severity,
    "How much it matters, from little to much.",
    {
        Severity.INFO: "Good to know.",
        Severity.WARNING: "Something to look at.",
        Severity.CRITICAL: "It cannot wait: quiet hours do not hold it back.",
    },
    name="AlertSeverity",
)

__all__ = ["Severity"]
