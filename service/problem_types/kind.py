"""What a problem is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One `type` of RFC 9457; the page at `/problems/<slug>` is made of this."""

    slug: str
    status: int
    title: str
    remedy: str
    raised_by: tuple[type[Exception], ...] = ()
    retry_after_s: int | None = None

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"
