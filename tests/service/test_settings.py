"""Settings are read strictly, and never shown."""

from pathlib import Path

import pytest

from index.catalog import Catalog
from service.errors import BadSettings, RefusedToStart
from service.keys.exposure import refuse_open_doors
from service.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).parents[2]


def test_an_unknown_name_refuses_and_names_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_DEVISE", "cpu")
    with pytest.raises(BadSettings, match=r"AFTERIMAGE_DEVISE is not a setting\. Did you mean AFTERIMAGE_DEVICE"):
        load_settings()


def test_the_command_line_s_own_name_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_URL", "http://127.0.0.1:8080")
    assert load_settings().port == 8080


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_PORT", "9000")
    monkeypatch.setenv("AFTERIMAGE_MODEL", "bundled, ViT-B-32/laion2b_s34b_b79k")
    assert load_settings().port == 9000
    assert load_settings(port=9001, host=None).port == 9001
    assert load_settings().model == ("bundled", "ViT-B-32/laion2b_s34b_b79k")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("DEVICE", "tpu"),
        ("MODEL", ""),
        ("MODEL", "bundled,bundled"),
        ("TRUST_NETWORK", "perhaps"),
        ("IN_FLIGHT", "48"),
        ("UNCALIBRATED_RELATED_SCORE", "0.99"),
        ("MAX_BYTES", "-1"),
    ],
)
def test_a_value_that_makes_no_sense_refuses(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(BadSettings, match=name):
        load_settings()


def test_a_refusal_does_not_repeat_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_PORT", "s3cret")
    with pytest.raises(BadSettings) as refusal:
        load_settings()
    assert "s3cret" not in str(refusal.value)


def test_settings_do_not_change(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_has_a_row_in_the_handbook() -> None:
    handbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    missing = [PREFIX + name.upper() for name in Settings.model_fields if f"`{PREFIX}{name.upper()}`" not in handbook]
    assert missing == []


@pytest.mark.parametrize("host", ["10.0.0.1", "::", "192.0.2.7", "example.org"])
def test_an_address_that_others_reach_is_refused_until_a_proxy_is_vouched_for(host: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedToStart, match="AFTERIMAGE_TRUST_NETWORK"):
        refuse_open_doors(Settings(host=host, data_dir=tmp_path))
    refuse_open_doors(Settings(host=host, data_dir=tmp_path, trust_network=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_a_loopback_address_needs_no_more(host: str) -> None:
    refuse_open_doors(Settings(host=host))


@pytest.mark.parametrize("folder", ["plain", "what?", "my%20data", "a#b", "mit Leerzeichen"])
def test_the_catalog_lies_in_the_data_directory_whatever_that_is_called(tmp_path: Path, folder: str) -> None:
    data_dir = tmp_path / folder
    catalog = Catalog.open(load_settings(data_dir=data_dir).catalog_url)
    catalog.close()
    assert (data_dir / "catalog.db").exists()
