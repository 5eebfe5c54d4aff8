"""M&Ms-2: Spanish hospitals, three vendors, diseases of both ventricles, one table.

    <root>/dataset_information.csv                           SUBJECT_CODE, DISEASE, VENDOR, SCANNER, FIELD
           dataset/NNN/NNN_SA_ED.nii.gz  NNN_SA_ES.nii.gz            3-D short-axis images
                       NNN_SA_ED_gt.nii.gz  NNN_SA_ES_gt.nii.gz      masks

Mask values: 1 left ventricle, 2 myocardium, 3 right ventricle. Official parts go by number: 001-160 training, 161-200
validation, 201-360 testing. Long-axis and cine files are not read. Case ids carry the prefix "mnms2-", since bare
numbers would say nothing beside other data sets' codes.

Source: Martin-Isla et al., Deep Learning Segmentation of the Right Ventricle in Cardiac MRI: The M&Ms Challenge, IEEE
    JBHI 27(7), 2023, https://doi.org/10.1109/JBHI.2023.3267857.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcmr.data.cases import VENDORS, Case, Frame, listed, shown, vendor_client
from fedcmr.data.files import folders_of, is_file
from fedcmr.data.tables import match_rows, read_rows, release_folder, whole_number

TABLE = "dataset_information.csv"
COLUMNS = ("SUBJECT_CODE", "DISEASE", "VENDOR", "SCANNER", "FIELD")
GROUPS = ("NOR", "ARR", "CIA", "FALL", "HCM", "LV", "RV", "TRI")
MASK_LABELS = (3, 2, 1)
LAST_TRAINING, LAST_VALIDATION, LAST_TESTING = 160, 200, 360


@dataclass(frozen=True)
class Knobs:
    """root: folder of the official release (`MnM2`), the one that holds `dataset_information.csv`."""

    root: str


def build(knobs: Knobs) -> list[Case]:
    """All patients below `knobs.root`. Raises: ValueError as `read_mnms2`."""
    return read_mnms2(Path(knobs.root))


def read_mnms2(root: Path) -> list[Case]:
    """Cases in the order of the table.

    Raises: ValueError where the root or the table is missing, rows and folders do not match, an image is missing, or
        a row holds an unknown vendor or group or a code outside 1-360.
    """
    root = release_folder(root, "MnM2", TABLE)
    table = root / TABLE
    folders = {folder.name: folder for folder in folders_of(root / "dataset")}
    rows = read_rows(table, COLUMNS)
    codes = [_code(row, table) for row in rows]
    match_rows(table, codes, folders)
    cases = [_case(code, row, folders[code], table) for code, row in zip(codes, rows, strict=True)]
    lacking = [str(frame.image) for case in cases for frame in (case.ed, case.es) if not is_file(frame.image)]
    if lacking:
        raise ValueError(f"Missing images: {listed(lacking)}. Restore them, or remove folder and row.")
    return cases


def _code(row: Mapping[str, str], table: Path) -> str:
    code = whole_number(row["SUBJECT_CODE"], f"{table}, SUBJECT_CODE")
    if not 1 <= code <= LAST_TESTING:
        raise ValueError(f"{table}: subject {code}; expected 1 to {LAST_TESTING}. Correct the row.")
    return f"{code:03d}"


def _case(code: str, row: Mapping[str, str], folder: Path, table: Path) -> Case:
    where = f"{table}, patient {code}"
    if row["DISEASE"] not in GROUPS:
        raise ValueError(
            f"{where}: unknown group '{shown(row['DISEASE'])}'; expected one of {', '.join(GROUPS)}. Correct the row."
        )
    client = vendor_client(row["VENDOR"], where)
    ed, es = (
        Frame(folder / f"{code}_SA_{phase}.nii.gz", folder / f"{code}_SA_{phase}_gt.nii.gz", None)
        for phase in ("ED", "ES")
    )
    part = "training" if int(code) <= LAST_TRAINING else "validation" if int(code) <= LAST_VALIDATION else "testing"
    return Case(
        id=f"mnms2-{code}",
        client=client,
        group=row["DISEASE"],
        ed=ed,
        es=es,
        part=part,
        mask_labels=MASK_LABELS,
        source="mnms2",
        vendor=next(maker for maker, name in VENDORS.items() if name == client),
    )
