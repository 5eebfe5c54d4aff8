"""One patient before any voxel: person, heart, chest and scan, and everything about them that a table can hold."""

from dataclasses import asdict, dataclass

from fedcmr.data.phantoms.anatomy import Person, draw_person, draw_targets
from fedcmr.data.phantoms.cohort import RANDOMISED, REALISTIC, Patient
from fedcmr.data.phantoms.heart import Heart
from fedcmr.data.phantoms.randomised import draw_any_person, draw_any_shape, draw_any_targets, draw_any_thorax
from fedcmr.data.phantoms.randomised_scan import draw_any_acquisition
from fedcmr.data.phantoms.scanner import Acquisition, draw_acquisition
from fedcmr.data.phantoms.solving import build_heart, solve
from fedcmr.data.phantoms.thorax import Thorax, draw_thorax

Row = dict[str, str | float | int]
LARGEST_MATRIX = 264


@dataclass(frozen=True)
class Subject:
    """What `draw_subject` draws; `es_frame` is the end-systolic frame of the patient's file, end-diastole is frame
    0.
    """

    patient: Patient
    person: Person
    heart: Heart
    body: Thorax
    scan: Acquisition
    es_frame: int


def draw_subject(patient: Patient) -> Subject:
    """The same subject for the same patient, whatever is done with the image stream."""
    rng, _, _ = patient.streams()
    if patient.style == RANDOMISED:
        person = draw_any_person(rng)
        heart = solve(draw_any_shape(rng, draw_any_targets(rng, patient.group, person)))
        body = draw_any_thorax(rng, person)
        scan = draw_any_acquisition(patient.streams()[1], patient.vendor, heart.length_mm, LARGEST_MATRIX)
    else:
        person = draw_person(rng, patient.group)
        heart = build_heart(rng, draw_targets(rng, patient.group, person))
        body = draw_thorax(rng, person)
        scan = draw_scan(patient)
    systole = 1 if patient.frames == 2 else min(max(round(scan.es_share * patient.frames), 2), patient.frames - 2)
    return Subject(patient, person, heart, body, scan, systole)


def draw_scan(patient: Patient) -> Acquisition:
    """A realistic subject's scan alone; it knows nothing of the person."""
    assert patient.style == REALISTIC, "a randomised scan is planned on its heart: see draw_subject"
    _, scan_rng, _ = patient.streams()
    return draw_acquisition(scan_rng, patient.vendor, patient.scanner, LARGEST_MATRIX)


def identity(subject: Subject) -> Row:
    """What the table of M&Ms says, and the severity behind the diagnosis."""
    patient, person, targets = subject.patient, subject.person, subject.heart.targets
    return {
        "code": patient.code,
        "part": patient.part,
        "vendor": patient.vendor,
        "centre": subject.scan.centre,
        "group": patient.group,
        "severity": targets.severity,
        "pattern": targets.pattern,
        "ed": 0,
        "es": subject.es_frame,
        "age": person.age_years,
        "sex": person.sex,
        "height": person.height_cm,
        "weight": person.weight_kg,
    }


def anatomy(subject: Subject) -> dict[str, float]:
    """Volumes (ml), ejection fractions, mass (g), thickest wall (mm) of the geometry, and body surface area (m²)."""
    return {**subject.heart.truth, "bsa_m2": subject.person.bsa_m2}


def acquisition(scan: Acquisition) -> dict[str, float]:
    """Everything that a scan's header or service log could tell, and nothing of the patient."""
    rows, columns, slices = scan.shape
    return {
        "field_t": scan.field_t,
        "rows": rows,
        "columns": columns,
        "slices": slices,
        "first_slice_mm": scan.first_slice_mm,
        "offset_x_mm": scan.offset_mm[0],
        "offset_y_mm": scan.offset_mm[1],
        "heart_rate": scan.heart_rate,
        **asdict(scan.profile),
    }
