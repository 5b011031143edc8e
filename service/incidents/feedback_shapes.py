"""Feedback as it is given and shown over HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from index.records.feedback import Feedback, NewFeedback, Opinion
from index.records.items import ItemId
from service.incidents.shapes import Prose
from service.inputs import BankName, Body, ListParameters, Token
from service.schemas import Shape

ID = r"^[0-9a-f]{28}$"
AnyId = Annotated[str, StringConstraints(pattern=ID)]


class FeedbackBody(Body):
    item_id: Annotated[str, StringConstraints(max_length=64)] = Field(description="As the match named it.")
    opinion: Opinion
    request_id: Token | None = Field(default=None, description="Of the answer; what was said of it before is replaced.")
    sighting_id: AnyId | None = Field(default=None, description="Of the upload, where it was recorded.")
    note: Prose = Field(default="", description="Kept as it is.")
    participant: Token | None = Field(
        default=None, description="On whose behalf, where no key is needed; a key says it of itself."
    )

    def given(self, participant: str | None) -> NewFeedback:
        return NewFeedback(
            item_id=ItemId(self.item_id),
            opinion=self.opinion,
            participant=participant,
            request_id=self.request_id,
            sighting_id=self.sighting_id,
            note=self.note,
        )


class FeedbackParameters(ListParameters):
    item_id: AnyId | None = Field(default=None, description="Of matches with this item.")
    bank: BankName | None = Field(default=None, description="Of matches with this bank.")
    incident: AnyId | None = Field(default=None, description="Of matches with this incident's banks.")
    opinion: Opinion | None = Field(default=None, description="Of this opinion alone.")


class FeedbackResource(Shape):
    feedback_id: str
    item_id: str | None = Field(description="Null where the item is gone.")
    bank: str | None = Field(description="Null where the bank is gone.")
    incident_id: str | None
    opinion: Opinion
    participant: str | None
    request_id: str | None
    sighting_id: str | None
    note: str
    at: datetime


def feedback_resource(feedback: Feedback) -> FeedbackResource:
    return FeedbackResource(
        feedback_id=feedback.feedback_id,
        item_id=feedback.item_id,
        bank=feedback.bank,
        incident_id=feedback.incident_id,
        opinion=feedback.opinion,
        participant=feedback.participant,
        request_id=feedback.request_id,
        sighting_id=feedback.sighting_id,
        note=feedback.note,
        at=feedback.at,
    )
