from symbl_aio.server.language.analysis_values import CustomEntity, Entity, Tracker
from tests.server.language.lines import PRIYA, TOM, analyse_lines
from tests.tables import table


@table(
    "text, kind, value",
    [
        ("Write to Bob.Smith@Example.com.", "email", "bob.smith@example.com"),
        ("See https://example.com/a?b=1.", "url", "https://example.com/a?b=1"),
        ("Call +49 30 123 4567 now.", "phone_number", "+49301234567"),
        ("Call (415) 555-0100 now.", "phone_number", "4155550100"),
        ("It costs $4,500 now.", "money", "$4,500"),
        ("It costs 2.5 million dollars.", "money", "2.5 million dollars"),
        ("About 12 percent left.", "percentage", "12 percent"),
        ("About 12.5% left.", "percentage", "12.5%"),
        ("We sold 1,250 chairs.", "number", "1250"),
        ("It starts on 12/24/2026.", "date", "2026-12-24"),
        ("It starts tomorrow.", "date", "2026-03-05"),
        ("It starts at 5 p.m. sharp.", "time", "17:00:00"),
        ("It starts tomorrow at 5 pm.", "datetime", "2026-03-05 17:00:00"),
        ("Tom said so.", "person", "Tom Becker"),
        ("Hello, my name is Ada Lovelace.", "person", "Ada Lovelace"),
    ],
)
def test_an_entity_is_found_with_its_offset(text, kind, value):
    (entity,) = analyse_lines((PRIYA, text), (TOM, "Hm."), detect_entities=True).entities
    assert (entity.type, entity.value, entity.message) == (kind, value, 0)
    assert text[entity.offset :].startswith(entity.text)


def test_the_name_of_a_speaker_is_found_whole_and_only_as_a_name():
    found = analyse_lines(
        (TOM, "Tom Becker, no beckers and no tom cat."), detect_entities=True
    ).entities
    assert [(entity.value, entity.text) for entity in found] == [("Tom Becker", "Tom Becker")]


def test_entities_are_looked_for_on_request_but_custom_ones_always():
    custom = [CustomEntity("Product", "mobile  app"), CustomEntity("Team", "core", "Core Team")]
    found = analyse_lines("The Mobile app costs $5.", "encore, Core!", custom_entities=custom)
    assert found.entities == (
        Entity("custom", "mobile  app", "Mobile app", 0, 4, "Product"),
        Entity("custom", "Core Team", "Core", 1, 8, "Team"),
    )
    assert len(analyse_lines("It costs $5.", detect_entities=True).entities) == 1


def test_insights_carry_their_entities():
    (found,) = analyse_lines("I will pay $50 tomorrow.").action_items
    assert [entity.type for entity in found.entities] == ["money", "date"]


def test_trackers_match_inflections_which_are_similar_and_not_exact():
    trackers = [
        Tracker("Leave", ("cancel my subscription",)),
        Tracker("Papers", ("send document", "contract")),
        Tracker("Doubt", ("don't know",)),
    ]
    found = analyse_lines(
        "Cancelling my subscriptions is easy.",
        "Sending documents, contracts or a contract, contractual.",
        "I don\u2019t know.",
        trackers=trackers,
    ).trackers
    assert [(m.value, m.message, m.offset) for m in found] == [
        ("cancel my subscription", 0, -1),
        ("send document", 1, -1),
        ("contract", 1, -1),
        ("contract", 1, 34),
        ("don't know", 2, 2),
    ]


def test_an_excluded_phrase_hides_what_it_contains():
    order = Tracker("Orders", ("order",), excluded=("out of order", "order of magnitude"))
    found = analyse_lines(
        "The lift is out of order.", "My order is an order of magnitude off.", trackers=[order]
    ).trackers
    assert [(m.message, m.offset) for m in found] == [(1, 3)]


def test_trackers_match_whole_phrases_of_any_case():
    launch = Tracker("Launch", ("go live", "c++", " "), id="7")
    found = analyse_lines(
        "We GO  live in May.", "They ago lived on c++.", trackers=[launch]
    ).trackers
    assert [(m.tracker, m.value, m.message, m.offset) for m in found] == [
        (launch, "go live", 0, 3),
        (launch, "c++", 1, 18),
    ]
