"""What the event stream takes, and what an event looks like."""

from typing import Annotated, Final

from pydantic import BaseModel, Field, StringConstraints

from index.records.events import EventKind
from service.inputs import Boolean, Parameters, Token

EVENT_MARK: Final = r"^[0-9]{1,18}(-[0-9a-f]{8})?$"
EventMark = Annotated[str, StringConstraints(pattern=EVENT_MARK)]


class EventParameters(Parameters):
    incident: Token | None = Field(default=None, description="Only events of this incident.")
    platform: Token | None = Field(default=None, description="Only events of this platform.")
    kind: list[EventKind] = Field(default=[], max_length=16, description="Only events of these kinds; repeatable.")
    last_event_id: EventMark | None = Field(
        default=None,
        description="Go on after this event, for whoever cannot send the header `Last-Event-ID`, which goes over it; "
        "`0` begins with the oldest event that is kept.",
    )
    follow: Boolean = Field(default=True, description="Whether to wait for what is to come; else it ends with today's.")


class StreamedEvent(BaseModel):
    """One event of the stream, field by field."""

    id: str = Field("", description="Send it as `Last-Event-ID` to go on after it.")
    event: str = Field("message", description="Its kind, or `gap` where events are missing.")
    data: str = Field("", description="JSON: `seq`, `kind`, `at`, `incident_id`, `platform` and `data`, the facts.")
    retry: int = Field(0, description="Milliseconds to wait before connecting again.")
