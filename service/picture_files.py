"""What is a picture file, as far as its name and its first bytes tell."""

from pathlib import Path, PurePath

_SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_ISO_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
_HEAD_BYTES = 16


def is_picture_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in _SUFFIXES


def looks_like_picture(path: Path) -> bool:
    """By its name's ending, or by how its content begins."""
    if is_picture_name(path.name):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return (
        head.startswith(_BEGINNINGS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _ISO_BRANDS)
    )
