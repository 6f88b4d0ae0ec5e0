"""What the rows of a file belong to where they do not say it themselves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowTarget:
    """What rows that do not say it themselves belong to. `item` is a slug or `provider:id`; None says nothing."""

    item: str | None = None
    source: str | None = None
    kind: str | None = None
    currency: str | None = None

    def fields(self) -> dict[str, str]:
        """The target as fields of a row."""
        fields = {"source": self.source, "kind": self.kind, "currency": self.currency}
        if self.item is not None:
            fields["externalId" if ":" in self.item else "item"] = self.item
        return {name: value for name, value in fields.items() if value is not None}
