"""EMR 7 runs a job with Python 3.9 unless told otherwise, and brings PySpark but no package of ours."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from tributary_emr.submit import JOBS

#: `emr/submit` has no need of the last one: the nightly run has it.
SUBMITTED = [*JOBS, "validate_table"]
PACKAGE = Path(__file__).parents[1] / "tributary_emr"
MODULES = sorted(PACKAGE.glob("*.py"))

#: Modules, and names by the module or object that has them, that came after 3.9.
LATER_MODULES = {"tomllib"}
LATER_NAMES = {
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify", "member", "nonmember"},
    "itertools": {"pairwise", "batched"},
    "contextlib": {"chdir", "aclosing"},
    "types": {"NoneType", "UnionType"},
    "typing": {"ParamSpec", "TypeAlias", "TypeGuard", "Self", "Never", "assert_never", "override", "reveal_type"},
}
LATER_BUILTINS = {"aiter", "anext", "ExceptionGroup", "BaseExceptionGroup", "EncodingWarning"}
#: Keyword arguments by the function that takes them.
LATER_KEYWORDS = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}, "bisect_left": {"key"}, "bisect_right": {"key"}}


def later_than_39(tree: ast.AST) -> Iterator[str]:
    """What of the standard library in `tree` Python 3.9 does not have, as far as names tell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in LATER_MODULES)
        elif isinstance(node, ast.ImportFrom):
            later = LATER_NAMES.get(node.module or "", set())
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in later)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in LATER_NAMES.get(node.value.id, set()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in LATER_BUILTINS:
            yield node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            later = LATER_KEYWORDS.get(node.func.id, set())
            yield from (f"{node.func.id}({word.arg}=)" for word in node.keywords if word.arg in later)


def imported(module: str) -> set[str]:
    """The modules that a module of the package imports, and all that those of the package import in turn."""
    found: set[str] = set()
    pending = [f"tributary_emr.{module}"]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        file = PACKAGE / f"{name.removeprefix('tributary_emr.')}.py"
        if name.startswith("tributary_emr.") and file.exists():
            pending += _imports(ast.parse(file.read_text()))
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "tributary_emr")


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_a_module_is_python_39(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert list(later_than_39(tree)) == []
    # `X | None` is evaluated in 3.9, where types have no `|`, unless annotations are left alone.
    unions = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
    assert not unions or "from __future__ import annotations" in file.read_text(encoding="utf-8")


def test_what_39_does_not_have_is_found() -> None:
    source = "from datetime import UTC\nimport enum, tomllib\nenum.StrEnum\nzip(a, strict=True)\nExceptionGroup\n"
    found = sorted(later_than_39(ast.parse(source)))
    assert found == ["ExceptionGroup", "datetime.UTC", "enum.StrEnum", "tomllib", "zip(strict=)"]
    with pytest.raises(SyntaxError):
        ast.parse("match a:\n    case 1: pass\n", feature_version=(3, 9))


@pytest.mark.parametrize("job", SUBMITTED)
def test_a_submitted_job_needs_nothing_but_spark(job: str) -> None:
    tops = {name.partition(".")[0] for name in imported(job)}
    assert tops - sys.stdlib_module_names == {"tributary_emr", "pyspark", "py4j"}


@pytest.mark.parametrize("job", SUBMITTED)
def test_a_submitted_job_starts_with_python_39(job: str) -> None:
    python = shutil.which("python3.9")
    # A version manager may have a command of that name that only says that there is no such version.
    if python is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode != 0:
        pytest.skip("there is no Python 3.9 on this machine")
    environ = os.environ | {"PYTHONPATH": f"{PACKAGE.parent}:{Path(pyspark.__file__).parents[1]}"}
    done = subprocess.run(
        [python, "-m", f"tributary_emr.{job}", "--help"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
