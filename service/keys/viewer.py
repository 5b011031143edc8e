"""Whose eyes an answer is for."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Viewer:
    """
    A platform sees what is its own, and of the incidents it takes part in what concerns all. Everyone else who may
    look at all sees everything: the center, auditors, and whoever works where no key is needed.
    """

    platform: str | None = None
    """The platform it is confined to; None where it is confined to none."""

    @property
    def sees_all(self) -> bool:
        return self.platform is None

    def owns(self, platform: str | None) -> bool:
        """Whether it may see what only this platform should."""
        return self.platform is None or self.platform == platform

    def takes_part(self, participants: Collection[str]) -> bool:
        """Whether it may see an incident that these take part in; none named is all."""
        return self.platform is None or not participants or self.platform in participants
