"""The documents against the tree: what they link, name and quote is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")


def tracked(*patterns: str) -> list[str]:
    names = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    return names.stdout.split("\n")[:-1]


FILES = set(tracked())
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
DOCUMENTS = sorted(name for name in FILES if name.endswith(".md"))
SOURCES = [name for name in FILES if name.endswith((".rs", ".py", ".ts"))]
# First parts of what is no path of the tree: builds and runs, keys of the lake, namespaces, an example.
ELSEWHERE = {
    "target",
    "out",
    ".local",
    "events",
    "rollups",
    "quarantine",
    "table",
    "reports",
    "aws",
    "AWS",
    "owner-123",
}
MAKEFILE = (ROOT / "Makefile").read_text()


def text(document: str) -> str:
    return FENCE.sub("", (ROOT / document).read_text())


def anchors(document: str) -> set[str]:
    """GitHub's anchors of the headings."""
    headings = re.findall(r"^#+ (.*)$", text(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: str) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text(document).replace("[`", "[").replace("`]", "]"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        name = str(target.resolve().relative_to(ROOT))
        there = name in FILES or name in FOLDERS
        if not there or (anchor and anchor not in anchors(name)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_and_its_anchor_is_there(document):
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(document):
    """Paths are written from the root, from the document's folder, or from a folder of sources of its own."""
    missing = []
    folder = Path(document).parent
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text(document)):
        first = name.split("/")[0]
        if first in ELSEWHERE:
            continue
        candidates = [str(Path(name)), str(folder / name), str(folder / "src" / name)]
        if not any(candidate in FILES or candidate in FOLDERS for candidate in candidates):
            missing.append(name)
    assert missing == []


def test_every_test_that_the_protocol_names_is_there():
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+){3,})`", text("functions/PROTOCOL.md")))
    sources = "\n".join((ROOT / name).read_text() for name in SOURCES)
    assert len(named) > 15
    assert [name for name in sorted(named) if not re.search(rf"\bfn {name}\b", sources)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_verb_that_a_document_names_is_in_the_makefile(document):
    verbs = re.findall(r"(?:`|^ {4}|\$ )make ([a-z-]+)", text(document), re.MULTILINE)
    assert [verb for verb in verbs if not re.search(rf"^{verb}:", MAKEFILE, re.MULTILINE)] == []


def test_the_readme_is_read_in_ten_minutes():
    assert len((ROOT / "README.md").read_bytes()) < 12_000


def test_the_check_of_links_sees_a_missing_file_and_a_missing_anchor(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("# A b\n[x](#a-b) [y](#c) [z](none.md) [w](https://example.org/none)\n")
    monkeypatch.setattr("test_documents.ROOT", tmp_path)
    monkeypatch.setattr("test_documents.FILES", {"a.md"})
    assert broken_links("a.md") == ["#c", "none.md"]
