"""The mutation by which small batches of reports of trackers come in."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import orjson
import strawberry

from app.core.errors import Conflict, ReasonedRefusal
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.ingestion import IngestBatch
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import CODE, REFUSAL, Done, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.ingestion.commands import accept_batch
from app.ingestion.models import BatchKind

MAXIMUM_REPORTS_PER_MUTATION = 250


@strawberry.input(
    description="One report of where a tracker was: of a tracker or of a hashed key, and either a point with its time "
    "or, of a key, the `payload` that a phone encrypted."
)
class LocationReportInput:
    tracker_id: strawberry.ID | None = strawberry.field(default=None, description="The tracker's global id.")
    hashed_key: str | None = strawberry.field(
        default=None, description="Base64 of the SHA-256 of the advertised key. One that no tracker has yet is kept."
    )
    latitude: float | None = strawberry.field(default=None, description="In degrees, -90 to 90.")
    longitude: float | None = strawberry.field(default=None, description="In degrees, -180 to 180.")
    accuracy: float | None = strawberry.field(
        default=None, description="Within how many metres, 0 to 100,000; leave it out where it is not known."
    )
    confidence: int | None = strawberry.field(default=None, description="A raw byte of the network, 0 to 255.")
    reported_at: datetime | None = strawberry.field(
        default=None, description="When it was seen; not before 2000, and not in the future."
    )
    published_at: datetime | None = strawberry.field(default=None, description="When the report was published.")
    payload: str | None = strawberry.field(
        default=None, description="Base64 of an encrypted report of Find My, 88 or 89 bytes, instead of a point."
    )

    @property
    def names_its_tracker(self) -> bool:
        """Whether the tracker or its key is named, and once."""
        return (self.tracker_id is None) != (self.hashed_key is None)

    @property
    def line(self) -> dict[str, object]:
        """The report as a row of a batch."""
        row: dict[str, object | None] = {
            "tracker": self.tracker_id,
            "hashedKey": self.hashed_key,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "accuracy": self.accuracy,
            "confidence": self.confidence,
            "reportedAt": None if self.reported_at is None else self.reported_at.isoformat(),
            "publishedAt": None if self.published_at is None else self.published_at.isoformat(),
            "payload": self.payload,
        }
        return {name: value for name, value in row.items() if value is not None}


@strawberry.input(description="A small batch of reports.")
class IngestLocationsInput:
    reports: list[LocationReportInput] = strawberry.field(description="1 to 250 reports.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat with the same key and reports gives the first batch again."
    )


@strawberry.enum(description="Why `ingestLocations` did not store the batch.")
class IngestLocationsErrorCode(Enum):
    INVALID_REPORTS = "invalid_reports"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


@strawberry.type(description=REFUSAL)
class IngestLocationsError(UserError):
    code: IngestLocationsErrorCode = attribute(CODE)


@strawberry.type(description="What became of the batch.")
class IngestLocationsPayload:
    batch: IngestBatch | None = attribute("The stored batch; a worker processes it within moments. Null when refused.")
    user_errors: list[IngestLocationsError] = attribute("Why it was refused; empty when it was stored.")


@dataclass(frozen=True, slots=True)
class IngestedLocations(Done):
    """The payload of `ingestLocations`."""

    batch: Reference


class IngestLocationsRefused(ReasonedRefusal[IngestLocationsErrorCode]):
    """A refusal of a batch that the caller can act on."""


_changes = Mutations(IngestLocationsRefused, IngestLocationsError)


@strawberry.type
class LocationMutations:
    @_changes(
        "Store a small batch of reports (1 to 250) of trackers of clients whose operator or owner one is. It is "
        "acknowledged once stored; follow it with `ingestBatch(id)`.",
        type=IngestLocationsPayload,
        access=needs(Scope.LOCATIONS_WRITE),
    )
    @staticmethod
    async def ingest_locations(info: Info, input: IngestLocationsInput) -> IngestedLocations:
        if not 1 <= len(input.reports) <= MAXIMUM_REPORTS_PER_MUTATION:
            raise IngestLocationsRefused(
                IngestLocationsErrorCode.INVALID_REPORTS,
                f"Send 1 to {MAXIMUM_REPORTS_PER_MUTATION} reports at a time, and not {len(input.reports)}; larger "
                "batches go to POST /ingest/locations.",
                field=["reports"],
            )
        nameless = [place for place, report in enumerate(input.reports) if not report.names_its_tracker]
        if nameless:
            raise IngestLocationsRefused(
                IngestLocationsErrorCode.INVALID_REPORTS,
                "Name the tracker of each report by `trackerId` or by `hashedKey`, one of them.",
                field=["reports", str(nameless[0])],
            )
        lines = [orjson.dumps(report.line) for report in input.reports]
        try:
            async with info.context.transaction() as transaction:
                accepted = await accept_batch(
                    transaction,
                    kind=BatchKind.LOCATION_REPORTS,
                    payload=b"\n".join(lines),
                    idempotency_key=input.idempotency_key,
                    sender_id=info.context.viewer.user_id,
                )
        except Conflict as conflict:
            raise IngestLocationsRefused(
                IngestLocationsErrorCode.IDEMPOTENCY_KEY_REUSED, conflict.message, field=["idempotencyKey"]
            ) from None
        return IngestedLocations(refer(IngestBatch, accepted.id))
