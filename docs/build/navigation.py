"""A hook of mkdocs: generated pages stand in the navigation without being listed there."""

from pathlib import Path
from typing import Any

GENERATED = {"Command line": "reference/command-line", "Python": "reference/python"}
"""Headings of the navigation, and the folder whose pages belong below each."""


def on_config(config: Any) -> Any:
    """Complete the navigation: the index first, then the other pages in alphabetical order."""
    for entry in config["nav"]:
        for heading, pages in entry.items():
            if heading in GENERATED:
                folder = Path(config["docs_dir"]) / GENERATED[heading]
                found = sorted(path.stem for path in folder.glob("*.md") if path.stem != "index")
                pages += [{_short(name): f"{GENERATED[heading]}/{name}.md"} for name in found]
    return config


def _short(name: str) -> str:
    """Give what a page is called in a narrow list."""
    return name.removeprefix("jaxdissect.").replace("generate-", "generate ")
