"""The package and the entry point of a job, as they are uploaded: the same sources give the same bytes and keys."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parent
# A ZIP file knows no earlier time; with the files' own, no two checkouts would give the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Artifacts:
    """What a run needs on S3, by key below the artifacts prefix."""

    package_key: str
    package: bytes
    entry_point_key: str
    entry_point: bytes


def artifacts(job: str) -> Artifacts:
    """The package as a ZIP file, and the module `job` of it as the file that Spark runs."""
    package = _zipped(_PACKAGE)
    version = hashlib.sha256(package).hexdigest()[:16]
    return Artifacts(
        f"{version}/{_PACKAGE.name}.zip",
        package,
        f"{version}/{job}.py",
        (_PACKAGE / f"{job}.py").read_bytes(),
    )


def _zipped(package: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted([*package.glob("*.py"), *package.glob("*.properties")]):
            entry = zipfile.ZipInfo(f"{package.name}/{file.name}", _TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
