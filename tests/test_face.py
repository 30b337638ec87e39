"""Public names resolve, and the commands of the documents are parsed and run until a file is missing."""

import re
import shlex
from pathlib import Path

import pytest

import genscene
from genscene.cli import main

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", genscene.__all__)
def test_every_public_name_resolves(name):
    assert getattr(genscene, name) is not None


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="nothing"):
        genscene.nothing  # noqa: B018


def test_both_lists_of_public_names_agree():
    assert set(genscene._HOMES) == set(genscene.__all__)


def commands():
    """Every line of a console block of the README and the docs that calls genscene."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"```(?:console|bash|sh)\n(.*?)```", path.read_text(), re.S):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["genscene"]:
                    yield pytest.param(words[1:], id=f"{path.stem}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", commands())
def test_every_documented_command_is_parsed(words, capsys, tmp_path, monkeypatch):
    """A command fails only where it wants a file that training, or a download, makes."""
    monkeypatch.chdir(tmp_path)
    if words[0] in ("train", "ablate") and "--help" not in words:
        words = [*words, "--dry-run"]
    code = main(words) if words[0] not in ("data", "doctor") else 0
    _, err = capsys.readouterr()
    missing = (
        "no generator at",
        "no checkpoint at",
        "no such folder",
        "wants --data",
        "no camera file",
        "no file of Gaussians at",
        "no labels at",
    )
    assert code == 0 or any(words in err for words in missing), err


def test_extras_are_quoted_wherever_they_are_named():
    """Without quotes zsh takes the brackets for a pattern."""
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "src").rglob("*.py")]
    bare = [path.name for path in texts if re.search(r"pip install [^'\n`]*[\w.]\[", path.read_text())]
    assert not bare
