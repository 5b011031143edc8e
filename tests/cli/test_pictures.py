"""Finding picture files."""

from pathlib import Path

import pytest

from service.cli.pictures import UnreadableFile, find_pictures, read_picture

PNG = b"\x89PNG\r\n\x1a\n and so on"


def write(path: Path, data: bytes = PNG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_folders_are_searched_at_any_depth_and_in_order(tmp_path: Path) -> None:
    second = write(tmp_path / "b" / "deep" / "er" / "x.jpg")
    first = write(tmp_path / "a.png")
    assert find_pictures([tmp_path]).pictures == [first, second]


def test_in_a_folder_a_picture_is_known_by_its_beginning_too(tmp_path: Path) -> None:
    digest = write(tmp_path / "9f86d081884c7d65")
    webp = write(tmp_path / "webp-without-ending", b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    avif = write(tmp_path / "zz-avif", b"\x00\x00\x00\x1cftypavif")
    write(tmp_path / "notes.txt", b"not a picture")
    found = find_pictures([tmp_path])
    assert found.pictures == [digest, webp, avif]
    assert found.left_alone == 1


def test_an_empty_file_with_a_pictures_name_is_not_passed_over(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jpg", b"")
    assert find_pictures([tmp_path]).pictures == [empty]


def test_a_file_that_was_named_is_tried_whatever_it_is(tmp_path: Path) -> None:
    named = write(tmp_path / "notes.txt", b"not a picture")
    assert find_pictures([named]).pictures == [named]


def test_the_same_file_is_found_once_however_often_it_is_named(tmp_path: Path) -> None:
    picture = write(tmp_path / "a.png")
    assert find_pictures([picture, tmp_path, picture]).pictures == [picture]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / ".thumbnails" / "a.png")
    write(tmp_path / ".b.png")
    assert find_pictures([tmp_path]).pictures == []


def test_a_folder_that_links_back_up_is_not_followed(tmp_path: Path) -> None:
    picture = write(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find_pictures([tmp_path]).pictures == [picture]


def test_what_does_not_exist_is_reported(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.png"
    assert find_pictures([missing]).missing == [missing]


def test_a_file_that_vanished_gives_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        read_picture(tmp_path / "gone.png")
