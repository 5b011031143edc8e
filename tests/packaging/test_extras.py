"""What an installation without extras can do."""

import subprocess
import sys

EXTRAS = ("imagehash", "matplotlib", "skimage", "pillow_heif", "pyarrow", "psycopg", "s3fs", "hypothesis", "pytest")


def test_the_service_starts_without_any_extra() -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}))"
    command = f"{hidden}; import service.app, service.cli, service.jobs.kinds, service.server"
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
