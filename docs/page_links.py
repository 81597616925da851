"""A hook of mkdocs: the repository's own pages belong to the site, and links to its other files lead to the repository.

So every page reads well in both places, and none is written twice.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root."""
    for name, page in ROOT_PAGES.items():
        content = (REPOSITORY / name).read_text(encoding="utf-8")
        links_from_docs = re.sub(r"\]\((?!https?:|#)(docs/)?", lambda link: "](" if link[1] else "](../", content)
        files.append(File.generated(config, page, content=links_from_docs))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of `docs/` lead to pages of the site where there are such, else to the repository."""
    for name, target in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return markdown.replace("](../", f"]({config.extra['repository']}/blob/main/")
