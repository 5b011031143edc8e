"""Incidents in the catalog: their order, who confirms them, and what every follower hears."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.audit import Actor, acting
from index.catalog import Catalog
from index.catalog.catalog import Clock
from index.catalog.duties import Step, Turn
from index.catalog.incidents.tallies import ItemTally, Means, Tallied, Tally
from index.errors import (
    BankOfAnotherIncident,
    CriteriaUnmet,
    IncidentChanged,
    IncidentClosed,
    OrganisationNeeded,
    SameOrganisation,
    TransitionRefused,
    UnknownBank,
    UnknownIncident,
    UnknownItem,
)
from index.records.banks import BankSettings, Purpose
from index.records.events import EventKind
from index.records.feedback import FeedbackQuery, NewFeedback, Opinion
from index.records.incidents import (
    NEXT_STATES,
    Advance,
    Criterion,
    Incident,
    IncidentChange,
    IncidentProtocol,
    IncidentState,
    IncidentThresholds,
    NewIncident,
)
from index.records.items import FilledFrame, ItemId, NewItem, Quarantine, Tiling
from index.records.rows import Embeddings
from index.records.spaces import SpaceId

ASSESS = Advance(IncidentState.ASSESSING, "looks real")
CONFIRM = Advance(IncidentState.CONFIRMED, "criteria met")


def opened(catalog: Catalog, **changes: object) -> Incident:
    return catalog.incidents.create(replace(NewIncident("attack", "exercise"), **changes))  # type: ignore[arg-type]


def confirmed(catalog: Catalog, incident: Incident) -> Incident:
    catalog.incidents.advance(incident.incident_id, ASSESS)
    catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="north"))
    return catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="south"))


def test_what_is_confirmed_is_told_kept_and_noted_in_one_step(catalog: Catalog) -> None:
    incident = opened(catalog, banks=["known"], participants=["vid"])
    before = catalog.version()
    with acting(Actor("http", "south", "key-2", "request-9")):
        done = confirmed(catalog, incident)
    assert (done.state, [each.participant for each in done.confirmations]) == (
        IncidentState.CONFIRMED,
        ["north", "south"],
    )
    assert done.confirmed_at == done.transitions[-1].at
    rule = catalog.changes(before, ()).banks
    assert rule is not None
    (followed,) = [each.incident for each in rule.values() if each.incident is not None]
    assert (followed.state, followed.participants) == (IncidentState.CONFIRMED, frozenset({"vid"}))
    told = [event.data["to"] for event in catalog.events.after(0, 10).events]
    assert told == ["awareness", "assessing", "assessing", "confirmed"]
    newest = catalog.audit.rows(0)[-1]
    assert (newest.action, newest.participant, newest.request) == ("incident.advanced", "south", "request-9")
    assert catalog.audit.verify().broken is None


def test_one_organisation_does_not_confirm_twice_and_nobody_does_not_confirm(catalog: Catalog) -> None:
    incident = opened(catalog)
    catalog.incidents.advance(incident.incident_id, ASSESS)
    with pytest.raises(OrganisationNeeded):
        catalog.incidents.advance(incident.incident_id, CONFIRM)
    catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="north"))
    with pytest.raises(SameOrganisation):
        catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="north"))
    assert catalog.incidents.get(incident.incident_id).state is IncidentState.ASSESSING


@pytest.mark.parametrize("other", ["north", "south"])
def test_confirmations_at_the_same_time_count_once_for_each_organisation(
    catalog: Catalog, url: str, other: str
) -> None:
    incident = opened(catalog)
    catalog.incidents.advance(incident.incident_id, ASSESS)
    others = [Catalog.open(url), Catalog.open(url)]
    gate, outcomes = threading.Barrier(2), list[object]()

    def confirm(own: Catalog, participant: str) -> None:
        gate.wait()
        try:
            outcomes.append(
                own.incidents.advance(incident.incident_id, replace(CONFIRM, participant=participant)).state
            )
        except SameOrganisation:
            outcomes.append(SameOrganisation)

    pairs = zip(others, ("north", other), strict=True)
    threads = [threading.Thread(target=confirm, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in others:
        own.close()
    second: object = SameOrganisation if other == "north" else IncidentState.CONFIRMED
    assert set(outcomes) == {IncidentState.ASSESSING, second}
    state = catalog.incidents.get(incident.incident_id).state
    assert state is (IncidentState.ASSESSING if other == "north" else IncidentState.CONFIRMED)


def test_the_slower_of_two_analysts_changes_nothing(catalog: Catalog) -> None:
    incident = opened(catalog)
    faster = IncidentChange(name="attack in the north")
    changed = catalog.incidents.change(incident.incident_id, faster, incident.revision)
    with pytest.raises(IncidentChanged):
        catalog.incidents.change(incident.incident_id, IncidentChange(name="other"), incident.revision)
    with pytest.raises(IncidentChanged):
        catalog.incidents.advance(incident.incident_id, replace(ASSESS, revision=incident.revision))
    assert catalog.incidents.get(incident.incident_id) == changed


def test_a_change_while_it_is_assessed_takes_back_the_confirmations(catalog: Catalog) -> None:
    incident = opened(catalog)
    catalog.incidents.advance(incident.incident_id, ASSESS)
    noted = catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="north"))
    change = IncidentChange(protocol=IncidentProtocol(exact="review"))
    assert catalog.incidents.change(incident.incident_id, change, noted.revision).confirmations == ()
    after = catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="south"))
    assert after.state is IncidentState.ASSESSING


def test_required_criteria_must_be_met(catalog: Catalog) -> None:
    lacking = [Criterion("violence", met=True, required=True), Criterion("footage", required=True), Criterion("other")]
    incident = opened(catalog, criteria=lacking)
    catalog.incidents.advance(incident.incident_id, ASSESS)
    with pytest.raises(CriteriaUnmet, match="footage"):
        catalog.incidents.advance(incident.incident_id, replace(CONFIRM, participant="north"))


def test_a_bank_belongs_to_one_incident_and_is_free_again_when_released_or_deleted(catalog: Catalog) -> None:
    first = opened(catalog, banks=["known"])
    with pytest.raises(BankOfAnotherIncident, match="known"):
        opened(catalog, banks=["known"])
    with pytest.raises(UnknownBank):
        opened(catalog, banks=["missing"])
    catalog.incidents.advance(first.incident_id, Advance(IncidentState.WITHDRAWN, "mistaken"))
    ended = catalog.incidents.get(first.incident_id)
    with pytest.raises(IncidentClosed):
        catalog.incidents.change(first.incident_id, IncidentChange(name="other"), ended.revision)
    catalog.incidents.change(first.incident_id, IncidentChange(banks=()), ended.revision)
    second = opened(catalog, banks=["known"])
    assert second.banks == ("known",)
    catalog.delete_bank("known")
    assert catalog.incidents.get(second.incident_id).banks == ()


def in_force(catalog: Catalog, bank: str) -> BankSettings:
    return next(rule.settings for rule in catalog.state().banks.values() if rule.name == bank)


def test_an_incidents_thresholds_go_over_its_banks_until_it_comes_to_nothing(catalog: Catalog) -> None:
    own = BankSettings(variant_score=0.9, related_score=0.5)
    catalog.put_bank("known", Purpose.HARMFUL, settings=own)
    incident = opened(catalog, banks=["known"], thresholds=IncidentThresholds(variant_score=0.7))
    assert in_force(catalog, "known") == replace(own, variant_score=0.7)
    catalog.incidents.advance(incident.incident_id, Advance(IncidentState.WITHDRAWN, "mistaken"))
    assert in_force(catalog, "known") == own


def test_a_list_goes_on_where_it_was_and_shows_a_platform_what_concerns_it(catalog: Catalog) -> None:
    made = [opened(catalog, name=str(number), participants=["vid"] if number % 2 else []) for number in range(5)]
    closed = opened(catalog, participants=["pics"])
    page = catalog.incidents.page(2)
    assert [each.incident_id for each in page.items] == [closed.incident_id, made[4].incident_id]
    following = catalog.incidents.page(10, page.next)
    assert [each.name for each in following.items] == ["3", "2", "1", "0"]
    assert len(catalog.incidents.page(10, seen_by="vid").items) == 5
    assert catalog.incidents.page(10, states=frozenset({"confirmed"})).items == ()
    with pytest.raises(UnknownIncident):
        catalog.incidents.get("0" * 28)


STATES = st.sampled_from(IncidentState)
WISHES = st.lists(st.tuples(STATES, st.sampled_from(("north", "south", None))), max_size=8)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WISHES)
def test_whatever_is_wished_for_it_goes_its_way_in_order(
    catalog: Catalog, wishes: list[tuple[IncidentState, str | None]]
) -> None:
    """The likely way to the end is tried too, between the wishes: few random ones would ever get far."""
    way = (IncidentState.ASSESSING, IncidentState.CONFIRMED, IncidentState.CONFIRMED, IncidentState.CONCLUDING)
    mixed = [pair for place, to in enumerate(way) for pair in (*wishes[2 * place : 2 * place + 2], (to, f"o{place}"))]
    incident = opened(catalog)
    state, organisations, taken = IncidentState.AWARENESS, set[str](), 0
    for to, participant in mixed:
        wish = Advance(to, "tried", participant)
        if to not in NEXT_STATES[state]:
            with pytest.raises(TransitionRefused):
                catalog.incidents.advance(incident.incident_id, wish)
        elif to is IncidentState.CONFIRMED and participant is None:
            with pytest.raises(OrganisationNeeded):
                catalog.incidents.advance(incident.incident_id, wish)
        elif to is IncidentState.CONFIRMED and participant in organisations:
            with pytest.raises(SameOrganisation):
                catalog.incidents.advance(incident.incident_id, wish)
        else:
            after = catalog.incidents.advance(incident.incident_id, wish)
            organisations |= {str(participant)} if to is IncidentState.CONFIRMED else set()
            if to is not IncidentState.CONFIRMED or len(organisations) > 1:
                state, taken = to, taken + 1
            assert after.state is state
        found = catalog.incidents.get(incident.incident_id)
        assert (found.state, len(found.transitions)) == (state, taken)
    assert [each.to_state for each in catalog.incidents.get(incident.incident_id).transitions[-1:]] == [state][:taken]


NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


@pytest.fixture
def at_noon(catalog: Catalog) -> Catalog:
    """The same catalog, in which it is half past twelve."""
    clock: Clock = lambda: NOW  # noqa: E731 - named for its type
    return Catalog(catalog.database, clock)


def tally(incident: int = 0, bank: int = 0, **changes: object) -> Tally:
    plain = Tally(HOUR, "vid", incident, bank, Means.MATCH, "variant", "block", capped=False, shadow=False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_what_several_processes_count_adds_up(catalog: Catalog) -> None:
    incident = confirmed(catalog, opened(catalog, banks=["known"]))
    later = NOW + timedelta(minutes=2)
    catalog.tallies.add(Tallied({tally(incident.key): 2, tally(): 5}, first_matches={incident.key: later}))
    capped = tally(incident.key, action="review", capped=True)
    catalog.tallies.add(
        Tallied(
            {tally(incident.key): 3, capped: 1, tally(incident.key, shadow=True, band="exact"): 9},
            first_matches={incident.key: NOW},
        )
    )
    rows = catalog.figures.timeline(incident.key, HOUR, HOUR + timedelta(hours=1))
    assert [(row.band, row.means, row.uploads) for row in rows] == [("variant", "match", 6)]
    outcomes = catalog.figures.of_incident(incident.key).outcomes
    assert {(each.capped, each.shadow): each.uploads for each in outcomes} == {
        (False, False): 5,
        (True, False): 1,
        (False, True): 9,
    }
    assert catalog.incidents.get(incident.incident_id).first_match_at == later, "the first that was written down stays"


def test_counts_of_an_item_that_is_gone_are_dropped_alone(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    kept = catalog.add_item("known", picture()).item
    key = int(kept.item_id[:12], 16)
    counted = [ItemTally(key, HOUR, 4, 1), ItemTally(key + 1000, HOUR, 4, 1)]
    catalog.tallies.add(Tallied({tally(): 4}, counted))
    assert catalog.figures.of_bank("known").holdings.matched == 1


def test_counts_of_items_are_forgotten_in_the_end_and_those_of_incidents_kept(
    at_noon: Catalog, picture: Callable[..., NewItem]
) -> None:
    key = int(at_noon.add_item("known", picture()).item.item_id[:12], 16)
    incident = opened(at_noon, banks=["known"])
    old = HOUR - timedelta(days=91)
    at_noon.tallies.add(Tallied({tally(incident.key, hour=old): 3}, [ItemTally(key, old, 3, 0)]))
    turn = at_noon.duties.take_turn("worker", 60)
    assert turn is not None
    assert at_noon.figures.of_bank("known").holdings.matched == 1
    at_noon.quarantines.forget(Step(turn, "quarantine", 0))
    assert at_noon.figures.of_bank("known").holdings.matched == 0
    assert [row.uploads for row in at_noon.figures.timeline(incident.key, old, NOW)] == [3]


def test_feedback_reaches_the_item_its_bank_and_its_incident(catalog: Catalog, picture: Callable[..., NewItem]) -> None:
    item = catalog.add_item("known", picture()).item
    incident = opened(catalog, banks=["known"])
    give = catalog.feedback.give
    give(NewFeedback(item.item_id, Opinion.NEGATIVE, "vid", "request-1", note="<b>wrong</b>\x07"))
    told = give(NewFeedback(item.item_id, Opinion.POSITIVE, "vid", "request-1"))
    give(NewFeedback(item.item_id, Opinion.DISPUTED, "pics", "request-1"))
    assert (told.bank, told.incident_id, told.item_id) == ("known", incident.incident_id, item.item_id)
    for figures in (catalog.figures.of_bank("known"), catalog.figures.of_incident(incident.key)):
        assert {opinion: count for opinion, count in figures.opinions.items() if count} == {
            Opinion.POSITIVE: 1,
            Opinion.DISPUTED: 1,
        }
    assert len(catalog.feedback.page(FeedbackQuery(item_id=item.item_id), 10).items) == 2
    assert len(catalog.feedback.page(FeedbackQuery(participant="pics"), 10).items) == 1
    page = catalog.feedback.page(FeedbackQuery(), 1)
    assert page.next is not None
    assert catalog.feedback.page(FeedbackQuery(), 1, page.next).items[0] == told
    with pytest.raises(UnknownItem):
        give(NewFeedback(ItemId("0" * 28), Opinion.POSITIVE))


def test_two_organisations_that_call_it_wrong_put_an_item_under_quarantine(
    catalog: Catalog, picture: Callable[..., NewItem]
) -> None:
    items = [catalog.add_item("known", picture()).item for _ in range(2)]
    disputed, wrong = items
    catalog.feedback.give(NewFeedback(disputed.item_id, Opinion.POSITIVE, "center"))
    for item in items:
        for participant in ("vid", "vid", "pics"):
            assert catalog.item("known", item.item_id).quarantine is Quarantine.NONE
            catalog.feedback.give(NewFeedback(item.item_id, Opinion.NEGATIVE, participant))
    assert catalog.item("known", wrong.item_id).quarantine is Quarantine.ALL
    assert catalog.item("known", disputed.item_id).quarantine is Quarantine.NONE
    (told,) = [event for event in catalog.events.after(0, 50).events if event.kind == EventKind.QUARANTINE]
    assert (told.data["item_id"], told.data["by"]) == (wrong.item_id, "feedback")


def test_a_rush_knows_how_many_chances_an_item_has_to_be_near(
    at_noon: Catalog, picture: Callable[..., NewItem], space: SpaceId, unit_rows: Callable[[int], Embeddings]
) -> None:
    at_noon.put_bank("known", Purpose.HARMFUL, settings=BankSettings(tiles=4))
    item = at_noon.add_item("known", picture()).item
    at_noon.tallies.add(Tallied({}, [ItemTally(int(item.item_id[:12], 16), HOUR, 40, 40)]))
    assert at_noon.quarantines.rushes(40).items[0].rows == 1
    at_noon.tiles.put(space, {item.item_id: {0: FilledFrame(unit_rows(5), Tiling(4, 4))}})
    assert at_noon.quarantines.rushes(40).items[0].rows == 5


def test_a_rush_is_told_by_what_was_counted_lately_and_lifting_accepts_it(
    at_noon: Catalog, picture: Callable[..., NewItem]
) -> None:
    catalog = at_noon
    item = catalog.add_item("known", picture()).item
    key = int(item.item_id[:12], 16)
    early = HOUR - timedelta(hours=2)
    counted = [ItemTally(key, early, 900, 900), ItemTally(key, HOUR - timedelta(hours=1), 30, 20)]
    catalog.tallies.add(Tallied({tally(): 500, tally(hour=early): 9000}, [*counted, ItemTally(key, HOUR, 20, 20)]))
    assert catalog.quarantines.rushes(41).items == []
    rushes = catalog.quarantines.rushes(40)
    (rush,) = rushes.items
    assert (rushes.asked, rush.uploads, rush.unconfirmed, rush.accepted) == (500, 50, 40, 0)
    turn = catalog.duties.take_turn("worker", 60)
    assert turn is not None
    catalog.quarantines.put(Step(Turn("worker"), "quarantine", 0), key, {"by": "rate"})
    assert catalog.item("known", item.item_id).quarantine is Quarantine.UNCONFIRMED
    assert catalog.quarantines.rushes(40).items == [], "it is under quarantine already"
    version = catalog.version()
    lifted, after = catalog.set_item("known", item.item_id, quarantine=Quarantine.NONE)
    assert (lifted.quarantine, after > version) == (Quarantine.NONE, True)
    assert catalog.quarantines.rushes(40).items[0].accepted == 40
    actions = [row.action for row in catalog.audit.rows(0)]
    assert actions[-2:] == ["item.quarantined", "item.changed"]
