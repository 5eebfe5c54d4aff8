"""M&Ms: six hospitals, four scanner vendors, one table.

    <root>/211230_M&Ms_Dataset_information_diagnosis_opendataset.csv
           Training/Labeled/<code>/<code>_sa.nii.gz       4-D (x, y, z, t)
                                   <code>_sa_gt.nii.gz    4-D mask, drawn at ED and ES
           Training/Unlabeled/<code>/…                    no labels, though files named _gt are there
           Validation/<code>/…  Testing/<code>/…

Mask values: 1 left ventricle, 2 myocardium, 3 right ventricle. ED and ES count from 0. One client per vendor: A
Siemens, B Philips, C GE, D Canon. Patients below `Unlabeled` have the group "" and no mask, whatever the table and
the files named `_gt` say. The simulated hearts of `phantom.py` are written in this layout too.

Source: Campello et al., Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms Challenge, IEEE
    TMI 40(12), 2021, https://doi.org/10.1109/TMI.2021.3090082.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcmr.data.cases import VENDORS, Case, Frame, listed, shown, vendor_client
from fedcmr.data.files import folders_of, is_file
from fedcmr.data.tables import match_rows, number, read_rows, release_folder, sex, whole_number

TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
COLUMNS = ("External code", "VendorName", "Vendor", "Centre", "ED", "ES", "Age", "Pathology", "Sex", "Height", "Weight")
# MINF is the phantom's word for an infarcted ventricle (ACDC's name of what M&Ms calls IHD)
GROUPS = ("NOR", "DCM", "HCM", "HHD", "ARV", "AHS", "IHD", "LVNC", "Other", "MINF")
MASK_LABELS = (3, 2, 1)
UNLABELED = "Training/Unlabeled"
FOLDERS: Mapping[str, str] = {
    "Training/Labeled": "training",
    UNLABELED: "training",
    "Validation": "validation",
    "Testing": "testing",
}


@dataclass(frozen=True)
class Knobs:
    """root: folder of the official release, the one that holds its table (`OpenDataset`)."""

    root: str


def build(knobs: Knobs) -> list[Case]:
    """All patients below `knobs.root`. Raises: ValueError as `read_mnms`."""
    return read_mnms(Path(knobs.root))


def read_mnms(root: Path) -> list[Case]:
    """Cases in the order of the table. A part's folder may be absent, as long as no row asks for it.

    Raises: ValueError where the root or the table is missing, rows and folders do not match, an image is missing, or
        a row holds an unknown vendor or group, a vendor's letter and name that contradict each other, or a value
        outside its range.
    """
    root = release_folder(root, "OpenDataset", TABLE)
    table = root / TABLE
    folders = _patient_folders(root)
    rows = read_rows(table, COLUMNS)
    match_rows(table, [row["External code"] for row in rows], folders)
    lacking = [str(image) for code, folder in folders.items() if not is_file(image := folder / f"{code}_sa.nii.gz")]
    if lacking:
        raise ValueError(f"Missing images: {listed(lacking)}. Restore them, or remove folder and row.")
    return [_case(row, folders[row["External code"]], root, table) for row in rows]


def _patient_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for part in FOLDERS:
        for folder in folders_of(root / part):
            if folder.name in found:
                raise ValueError(
                    f"Duplicate patient {folder.name}: {found[folder.name]} and {folder}. Remove one of them."
                )
            found[folder.name] = folder
    return found


def _case(row: Mapping[str, str], folder: Path, root: Path, table: Path) -> Case:
    code = row["External code"]
    where = f"{table}, patient {code}"
    client = vendor_client(row["Vendor"], where)
    if row["VendorName"] and vendor_client(row["VendorName"], where) != client:
        raise ValueError(
            f"{where}: vendor '{shown(row['Vendor'])}' contradicts its name '{shown(row['VendorName'])}'. "
            "Correct the row."
        )
    place = folder.parent.relative_to(root).as_posix()
    unlabelled = place == UNLABELED
    group = "" if unlabelled else row["Pathology"]
    if not unlabelled and group not in GROUPS:
        raise ValueError(
            f"{where}: unknown group '{shown(group)}'; expected one of {', '.join(GROUPS)}. Correct the row."
        )
    image = folder / f"{code}_sa.nii.gz"
    mask = None if unlabelled else folder / f"{code}_sa_gt.nii.gz"
    return Case(
        id=code,
        client=client,
        group=group,
        ed=Frame(image, mask, _index(row, "ED", where)),
        es=Frame(image, mask, _index(row, "ES", where)),
        part=FOLDERS[place],
        mask_labels=MASK_LABELS,
        source="mnms",
        vendor=next(maker for maker, name in VENDORS.items() if name == client),
        centre=row["Centre"],
        sex=sex(row["Sex"], f"{where}, Sex"),
        age_years=number(row["Age"], f"{where}, Age", 0, 120),
        height_cm=_height(row["Height"], f"{where}, Height"),
        weight_kg=number(row["Weight"], f"{where}, Weight", 0, 400) or None,  # 0 stands for unknown
    )


def _height(text: str, where: str) -> float | None:
    """Centimetres. The release does not state its unit: up to 2.5 are metres; 0 stands for unknown."""
    height = number(text, where, 0, 250) or None
    return 100 * height if height is not None and height <= 2.5 else height


def _index(row: Mapping[str, str], phase: str, where: str) -> int:
    index = whole_number(row[phase], f"{where}, {phase}")
    if index < 0:
        raise ValueError(f"{where}, {phase}: frame {index} is out of range; expected 0 or more (frames count from 0).")
    return index
