"""Which banks an upload is compared with: all that answer unasked, or those that were asked for by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from index.errors import UnknownBank
from index.records.banks import BankRule, Purpose


@dataclass(frozen=True, slots=True)
class BankChoice:
    """What a request says of it."""

    banks: frozenset[str] = frozenset()
    incident: str | None = None
    """The banks of this incident, besides those."""
    platform: str | None = None
    """The platform that asks; None is whoever is no platform."""

    @property
    def by_name(self) -> bool:
        return bool(self.banks) or self.incident is not None


def chosen(rules: Mapping[str, BankRule], choice: BankChoice) -> list[BankRule]:
    """
    Raises:
        UnknownBank: there is none of that name, or none that concerns this platform.
    """
    if not choice.by_name:
        return [rule for rule in rules.values() if rule.incident is None or _answers_unasked(rule, choice.platform)]
    visible = {name: rule for name, rule in rules.items() if _concerns(rule, choice.platform)}
    if not choice.banks <= visible.keys():
        raise UnknownBank("There is no bank of that name.")
    of_incident = banks_of(visible.values(), choice)
    return [rule for name, rule in visible.items() if name in choice.banks or name in of_incident]


def banks_of(rules: Iterable[BankRule], choice: BankChoice) -> set[str]:
    """Those of the incident that is asked for."""
    return {rule.name for rule in rules if choice.incident is not None and _is_of(rule, choice.incident)}


def _answers_unasked(rule: BankRule, platform: str | None) -> bool:
    """News of an event speaks for what shows it before anybody has confirmed anything."""
    if rule.incident is None:
        return True
    news = rule.purpose is Purpose.PUBLIC_INTEREST and not rule.incident.state.ended_early
    return (rule.incident.state.acts or news) and _concerns(rule, platform)


def _concerns(rule: BankRule, platform: str | None) -> bool:
    return rule.incident is None or rule.incident.concerns(platform)


def _is_of(rule: BankRule, incident: str) -> bool:
    return rule.incident is not None and rule.incident.incident_id == incident
