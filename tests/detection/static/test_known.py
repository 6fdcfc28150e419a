"""What is known to block, taken from the tables of the other layers."""

import pytest
from django.test import override_settings

from django_async_ext.detection.endpoints import table
from django_async_ext.detection.primitives.table import TABLE
from django_async_ext.detection.rules import RULES, Endpoint
from django_async_ext.detection.static import known
from django_async_ext.detection.static.common import NAMES

STRICT = {"DETECTION": {"STRICT": True}}


def remedies() -> dict[str, str]:
    return {each.name: each.remedy for each in known.endpoints()}


@pytest.mark.parametrize("layer", [table(), TABLE], ids=["endpoints", "primitives"])
def test_what_a_layer_knows_has_its_remedy(layer: tuple[Endpoint, ...]) -> None:
    here = remedies()
    of_layer = {each.name: each.remedy for each in layer}
    same = here.keys() & of_layer.keys()
    assert len(same) > len(of_layer) * 0.6
    assert [name for name in same if here[name] != of_layer[name]] == []


def test_a_name_that_a_layer_has_is_not_given_again() -> None:
    with override_settings(ASYNC_EXT=STRICT):
        names = [each.name for each in known.endpoints()]
    assert sorted(set(names)) == sorted(names)


def test_a_name_has_the_remedy_of_what_it_leads_to() -> None:
    here = remedies()
    for each in NAMES:
        for name in each.names.split():
            if each.known in here:
                assert here[f"{each.start}.{name}"] == here[each.known]
    assert here["requests.get"] == here["requests.sessions.Session.request"]


def test_every_rule_has_something_but_those_that_no_source_tells() -> None:
    rules = {rule.name for rule in RULES.values() if rule.layer != "WATCHDOG"}
    assert rules - {each.rule for each in known.endpoints()} == {"templates", "request"}


def test_what_is_short_on_a_fast_disk_is_known_in_strict_mode_only() -> None:
    strict = {"pathlib.Path.exists", "os.stat", "io.TextIOWrapper.read"}
    assert not strict & remedies().keys()
    with override_settings(ASYNC_EXT=STRICT):
        assert strict <= remedies().keys()


def test_what_a_class_inherits_is_not_known_of_its_base() -> None:
    found = known.Table()
    assert found.method(["django.forms.models.BaseModelForm"], "is_valid")
    assert found.method(["django.forms.forms.BaseForm"], "is_valid") is None
