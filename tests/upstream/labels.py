"""Which labels of Django's suite run when none are named.

Contract: ``resolve(names, tests)`` turns the names of the command line into
labels. The sets ``ci``, ``orm`` (the default), ``web``, ``wide`` (these two),
``requests`` and ``all`` may stand among the names. A label that a version of
Django does not have is left out of a set, and is an error when named itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

#: What reaches the database, or decides when and where it is reached.
ORM = """
    admin_changelist admin_filters admin_inlines admin_utils admin_views
    aggregation aggregation_regress annotations async auth_tests backends base
    basic bulk_create cache check_framework composite_pk constraints
    contenttypes_tests custom_columns custom_lookups custom_managers
    custom_methods custom_migration_operations custom_pk datatypes dates
    datetimes db_functions db_typecasts db_utils defer defer_regress delete
    delete_regress distinct_on_fields empty empty_models expressions
    expressions_case expressions_window extra_regress field_defaults
    field_subclassing filtered_relation fixtures fixtures_model_package
    fixtures_regress force_insert_update foreign_object from_db_value
    generic_relations generic_relations_regress generic_views
    get_earliest_or_latest get_object_or_404 get_or_create indexes
    inline_formsets inspectdb introspection known_related_objects lookup
    m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress
    m2m_signals m2m_through m2m_through_regress m2o_recursive managers_regress
    many_to_many many_to_one many_to_one_null max_lengths migrate_signals
    migration_test_data_persistence migrations migrations2 model_enums
    model_fields model_forms model_formsets model_formsets_regress
    model_indexes model_inheritance model_inheritance_regress model_meta
    model_options model_package model_regress model_utils multiple_database
    mutually_referential nested_foreign_keys null_fk null_fk_ordering
    null_queries one_to_one or_lookups order_with_respect_to ordering
    pagination postgres_tests prefetch_related properties
    proxy_model_inheritance proxy_models queries queryset_pickle raw_query
    reserved_names reverse_lookup save_delete_hooks schema select_for_update
    select_related select_related_onetoone select_related_regress serializers
    sessions_tests signals string_lookup swappable_models test_client
    test_client_regress test_runner test_utils timezones transaction_hooks
    transactions unmanaged_models update update_only_fields validation
    xor_lookups
"""

#: The request cycle and what is built on it.
WEB = """
    asgi admin_autodiscover admin_checks admin_custom_urls admin_default_site
    admin_docs admin_ordering admin_registration admin_widgets
    conditional_processing context_processors csrf_tests decorators dispatch
    file_storage file_uploads files flatpages_tests forms_tests
    generic_inline_admin handlers httpwrappers humanize_tests logging_tests
    mail messages_tests middleware middleware_exceptions modeladmin
    redirects_tests requests_tests responses servers settings_tests shortcuts
    signed_cookies_tests signing sitemaps_tests sites_framework sites_tests
    staticfiles_tests syndication_tests tasks template_backends
    template_loader template_tests urlpatterns urlpatterns_reverse
    user_commands view_tests wsgi
"""

#: Labels of ORM that take as long as all the others together.
SLOW = "admin_views auth_tests cache migrations test_runner"

#: For every change: about five minutes on two processors.
CI = [label for label in ORM.split() if label not in SLOW.split()]
CI += "asgi handlers middleware servers".split()

#: Whose requests go through the package's handler in the mode "handler".
REQUESTS = """
    asgi async csrf_tests file_uploads handlers logging_tests middleware
    middleware_exceptions requests_tests responses servers staticfiles_tests
    template_tests test_client test_client_regress urlpatterns_reverse
""".split()
CI += [label for label in REQUESTS if label not in CI]

#: Folders of ``tests/`` that do not run, and why.
NOT_RUN = {
    "gis_tests": "needs a spatial engine, which the package does not have",
    "import_error_package": "has no tests: material of the label test_runner",
    "test_runner_apps": "has no tests: material of the label test_runner",
}

#: Tests that are skipped with every engine, and why; documented with the results.
SKIPPED = {
    "Selenium": "tests in a browser, which say nothing about a database engine",
    "pylibmc": "Django's backend for it, which the package does not have",
}


def resolve(names: Iterable[str], tests: Path) -> list[str]:
    """Return the labels that ``names`` stand for, each once, in order."""
    existing = set(_existing(tests))
    orm, web = ORM.split(), WEB.split()
    # The longest last: it says nothing that others do not say sooner.
    everything = sorted(existing, key=lambda label: (label == "admin_scripts", label))
    sets = {"ci": CI, "orm": orm, "web": web, "wide": orm + web, "all": everything,
            "requests": REQUESTS}  # fmt: skip
    labels: dict[str, None] = {}
    for name in names or ["orm"]:
        if name in sets:
            labels |= dict.fromkeys(x for x in sets[name] if x in existing)
        elif name.partition(".")[0] in existing:
            labels[name] = None
        else:
            raise SystemExit(f"This Django has no test label {name!r}.")
    return list(labels)


def _existing(tests: Path) -> Iterator[str]:
    for folder in tests.iterdir():
        if (folder / "__init__.py").exists() and folder.name not in NOT_RUN:
            yield folder.name
