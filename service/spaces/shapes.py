"""What is said of spaces, over HTTP and on the command line."""

from datetime import datetime

from pydantic import Field

from index.records.spaces import SpaceStage
from service.schemas import Action, Band, Shape


class SpaceHolding(Shape):
    process: str
    open: bool
    reason: str | None = Field(description="Why it is not open there.")


class SpaceResource(Shape):
    embedder_id: str
    model: str | None = Field(description="The name it is opened by; null where nobody noted it.")
    dim: int
    stage: SpaceStage
    answers: bool = Field(description="Whether answers of this service come from it.")
    calibrated: bool | None = Field(description="Null where it is not open.")
    replaces: str | None = Field(description="The space it is to take over from, or has.")
    changed_at: datetime | None = Field(description="When it came to its stage; null where it was always served.")


class SpaceCoverage(Shape):
    filled: int = Field(description="Items that can be found in it.")
    lacking: int = Field(description="Items found elsewhere alone, whose originals are kept: they can be filled in.")
    without_original: int = Field(description="Items found elsewhere alone, and nobody kept the picture.")


class SpaceAgreement(Shape):
    band: Band = Field(description="What was answered.")
    shadow_band: Band = Field(description="What would have been.")
    uploads: int
    same_item: int = Field(description="Of these, with the same best item.")


class LeftItem(Shape):
    bank: str
    item_id: str


class SpaceReport(SpaceResource):
    items: SpaceCoverage
    left: list[LeftItem] = Field(description="The oldest items that are found elsewhere alone, a hundred at most.")
    open_in: list[SpaceHolding] = Field(description="What every process that answers says; none says it at rest.")
    agreement: list[SpaceAgreement] = Field(description="While it waited in shadow, how often bands were these two.")


class SpaceMoved(Shape):
    embedder_id: str
    stage: SpaceStage
    index_version: int = Field(description="Answers at this version or later come from the spaces as they are now.")


class SpaceDropped(SpaceMoved):
    job_id: str = Field(description="The job that deletes its embeddings.")


class OutcomeOf(Shape):
    band: Band
    suggested_action: Action
    item_id: str | None = Field(description="The best match.")


class SpaceComparison(Shape):
    """One upload, as it is answered and as it would be."""

    embedder_id: str
    against: str
    answered: OutcomeOf
    in_shadow: OutcomeOf
    changes_the_verdict: bool
