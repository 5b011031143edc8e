"""What the pages name is there."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from service.cli.application import application

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_program_exists(page: Path) -> None:
    commands = get_command(application()).commands  # type: ignore[attr-defined]
    for line in re.findall(r"(?:^|`|/)afterimage ((?:[a-z]+ ?)+)", page.read_text(), re.MULTILINE):
        words = line.split()
        assert words[0] in commands, line
        if words[0] == "bank" and len(words) > 1:
            assert words[1] in commands["bank"].commands, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_word_of_make_exists(page: Path) -> None:
    words = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in re.findall(r"(?:^|`)make ((?:[a-z]+ ?)+)", page.read_text(), re.MULTILINE):
        assert set(line.split()) <= words, line


@pytest.mark.parametrize("path", re.findall(r"^\| `(\w+/)` \|", README, re.MULTILINE))
def test_every_folder_that_the_readme_lists_exists(path: str) -> None:
    assert (ROOT / path).is_dir()
