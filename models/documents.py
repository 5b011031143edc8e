"""Small JSON documents on disk: written aside and moved into place, so that nobody reads half of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """
    Replace a document.

    Raises:
        OSError: the disk is full or the folder cannot be written; the document is as it was.
    """
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
