"""The two pictures of the first minute, and the weights that come with the wheel."""

from pathlib import Path

import service
from service.client import Client

SAMPLES = Path(service.__file__).parent / "samples"


def test_pdq_is_blind_to_the_sample_and_the_bundled_model_is_not(service_url: str, bank: str) -> None:
    client = Client(service_url)
    client.put_bank(bank, "harmful")
    client.add_item(bank, (SAMPLES / "known.jpg").read_bytes())
    answer = client.match((SAMPLES / "reupload.jpg").read_bytes(), {"bank": bank})
    client.close()
    found = answer["matches"][0]
    assert found["perceptual"]["distance"] > found["perceptual"]["threshold"]
    assert answer["verdict"]["band"] == "variant"
    assert answer["calibrated"]
