"""Names of resource classes and traits, checked and made normal."""

from __future__ import annotations

import os_resource_classes
import os_traits
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker import standard_names
from worker.core import names

TEXTS = st.text(max_size=40) | st.text("abzABZ019_-. ", max_size=40)
STANDARD = st.sampled_from(sorted(standard_names.CLASSES | standard_names.TRAITS))
ANY = TEXTS | STANDARD | STANDARD.map(str.lower) | TEXTS.map("CUSTOM_{}".format) | TEXTS.map("custom_{}".format)


@pytest.mark.parametrize("name", ["CUSTOM_GOLD", "CUSTOM__", "CUSTOM_1", "VCPU", "CUSTOM_" + "X" * 248])
def test_a_good_name_has_no_fault(name: str) -> None:
    assert names.fault(name, standard_names.CLASSES) is None


@pytest.mark.parametrize(
    "name", ["", "vcpu", "CUSTOM_é", "CUSTOM_GOLD\n", "CUSTOM-GOLD", "CUSTOM_GOLD ", "CUSTOM_" + "X" * 249, "CUSTOM_٣"]
)
def test_a_name_of_other_characters_or_another_length_is_said_to_be_so(name: str) -> None:
    assert names.fault(name, standard_names.CLASSES) == "is not 1 to 255 characters of A-Z, 0-9 and _"


@pytest.mark.parametrize("name", ["CUSTOM_", "CUSTOM", "GOLD", "_CUSTOM_GOLD", "HW_CPU_X86_AVX"])
def test_a_name_that_is_nobody_s_is_said_to_be_so(name: str) -> None:
    said = names.fault(name, standard_names.CLASSES)

    assert said == "is neither a standard name nor CUSTOM_ with something after it"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("VCPU", "VCPU"),
        ("vcpu", "VCPU"),
        ("CUSTOM_GOLD", "CUSTOM_GOLD"),
        ("custom_gold", "CUSTOM_GOLD"),
        ("CUSTOM_A__B", "CUSTOM_A__B"),
        ("custom_a--b", "CUSTOM_A_B"),
        ("gold", "CUSTOM_GOLD"),
        ("Gold nic/2.5", "CUSTOM_GOLD_NIC_2_5"),
        ("a__b", "CUSTOM_A_B"),
        ("straße", "CUSTOM_STRASSE"),
        ("", "CUSTOM_"),
    ],
)
def test_a_text_becomes_the_class_that_it_means(text: str, name: str) -> None:
    assert names.normal_class(text, standard_names.CLASSES) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("HW_CPU_X86_AVX", "HW_CPU_X86_AVX"),
        ("hw_cpu_x86_avx", "CUSTOM_HW_CPU_X86_AVX"),
        ("custom_gold", "CUSTOM_GOLD"),
        ("gold", "CUSTOM_GOLD"),
        (" b", "CUSTOM__B"),
    ],
)
def test_a_text_becomes_the_trait_that_it_means(text: str, name: str) -> None:
    assert names.normal_trait(text, standard_names.TRAITS) == name


@given(text=ANY)
def test_only_the_length_or_an_empty_text_can_be_at_fault_after_it(text: str) -> None:
    pairs = (
        (names.normal_class(text, standard_names.CLASSES), standard_names.CLASSES),
        (names.normal_trait(text, standard_names.TRAITS), standard_names.TRAITS),
    )

    for name, standard in pairs:
        assert (names.fault(name, standard) is None) == (name != "CUSTOM_" and len(name) <= 255)


@given(text=ANY)
def test_a_normal_name_stays_as_it_is(text: str) -> None:
    of_class = names.normal_class(text, standard_names.CLASSES)
    trait = names.normal_trait(text, standard_names.TRAITS)

    assert names.normal_class(of_class, standard_names.CLASSES) == of_class
    assert names.normal_trait(trait, standard_names.TRAITS) == trait


@given(text=TEXTS)
def test_what_is_neither_standard_nor_custom_becomes_what_the_libraries_make_of_it(text: str) -> None:
    upper = text.upper()
    by_nova = upper if upper.startswith("CUSTOM_") else os_traits.normalize_name(upper)
    assume(names.fault(by_nova, frozenset()) is None)

    assert names.normal_class(text, frozenset()) == by_nova
    assert names.normal_trait(text, frozenset()) == by_nova
    assert os_resource_classes.normalize_name(upper) == os_traits.normalize_name(upper)


def test_every_standard_name_is_a_good_one() -> None:
    faults = [names.fault(name, standard_names.CLASSES) for name in standard_names.CLASSES]
    faults += [names.fault(name, standard_names.TRAITS) for name in standard_names.TRAITS]

    assert set(faults) == {None}


def test_the_standard_names_are_those_that_we_use_ourselves() -> None:
    assert {"VCPU", "PCPU", "MEMORY_MB", "DISK_GB"} <= standard_names.NAMES.classes
    ours = {"COMPUTE_NODE", "OWNER_NOVA", "COMPUTE_STATUS_DISABLED", "COMPUTE_MANAGED_PCI_DEVICE"}
    assert ours <= standard_names.NAMES.traits
    assert not any(name.startswith("CUSTOM_") for name in standard_names.CLASSES | standard_names.TRAITS)
