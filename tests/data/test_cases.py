from pathlib import Path

import pytest

from fedcmr.data.cases import (
    VENDORS,
    Case,
    Frame,
    cache_root,
    client_name,
    listed,
    refuse_duplicates,
    repeated,
    shown,
    vendor_client,
)

FRAME = Frame(Path("image.nii.gz"), None, None)


def case(name: str = "p1", part: str = "training") -> Case:
    return Case(name, "vendorA", "NOR", FRAME, FRAME, part, (1, 2, 3), "acdc")


@pytest.mark.parametrize("typed", ["vendorA", "VENDORA", "siemens", "Siemens", "SIEMENS", " vendora "])
def test_a_client_is_known_by_vendor_and_by_maker_in_any_case(typed):
    assert client_name(typed) == "vendorA"


def test_every_maker_names_its_vendor():
    assert {maker: client_name(maker) for maker in VENDORS} == dict(VENDORS)


def test_a_site_is_a_client_where_the_data_has_it():
    assert client_name("Site2", ["site1", "site2"]) == "site2"
    with pytest.raises(ValueError, match="Unknown client 'site3'; the data has site1, site2"):
        client_name("site3", ["site1", "site2"])


def test_an_unknown_client_is_refused_with_the_nearest_known_name():
    with pytest.raises(ValueError, match=r"Unknown client 'phillips'.*Did you mean 'vendorB'"):
        client_name("phillips")
    with pytest.raises(ValueError, match="Did you mean 'vendorC'"):
        client_name("vendorcc", ["vendorA", "vendorC"])


def test_a_vendor_that_the_data_lacks_is_refused():
    with pytest.raises(ValueError, match="Unknown client 'canon'; the data has vendorA, vendorB"):
        client_name("canon", ["vendorA", "vendorB"])


@pytest.mark.parametrize(
    ("vendor", "client"),
    [
        ("A", "vendorA"),
        ("d", "vendorD"),
        ("SIEMENS", "vendorA"),
        ("GE MEDICAL SYSTEMS", "vendorC"),
        ("Philips Medical Systems", "vendorB"),
    ],
)
def test_a_table_may_name_vendors_by_letter_or_as_dicom_does(vendor, client):
    assert vendor_client(vendor, "table") == client


def test_an_unknown_vendor_is_refused_with_its_row():
    with pytest.raises(ValueError, match=r"table\.csv, patient X: unknown vendor 'Toshiba'"):
        vendor_client("Toshiba", "table.csv, patient X")


def test_a_case_is_its_own_patient_unless_told_otherwise():
    assert case("p1").patient == "p1"


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="part 'holdout'; expected one of training, validation, testing"):
        case(part="holdout")


def test_duplicate_patients_are_named():
    with pytest.raises(ValueError, match="Duplicate patients: p1"):
        refuse_duplicates([case("p1"), case("p2"), case("p1")])


def test_names_are_listed_up_to_ten():
    assert listed([str(number) for number in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


def test_what_stands_more_than_once_is_named_once():
    assert repeated(["b", "a", "b", "c", "a", "b"]) == ["a", "b"]


def test_a_word_of_a_file_is_shown_short_and_does_nothing_to_a_terminal():
    assert shown("Größe 3") == "Größe 3"
    assert shown("\x1b[2Ja\nb\0\u202e") == r"\x1b[2Ja\nb\x00\u202e"
    assert shown("x" * 100) == "x" * 60 + "… and 40 characters more"


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("FEDCMR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "fedcmr"
    monkeypatch.setenv("FEDCMR_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("FEDCMR_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "fedcmr"
