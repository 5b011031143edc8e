"""The settings of a service: read once at the edge, passed on as values. No other file reads the environment."""

import difflib
import ipaddress
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import BadSettings

PREFIX = "AFTERIMAGE_"
COMMAND_LINE_ONLY = frozenset({"AFTERIMAGE_URL", "AFTERIMAGE_KEY"})
"""Names that the command line reads for itself."""
_MIB = 1024 * 1024


class Settings(BaseSettings):
    """Every field is `AFTERIMAGE_<NAME>` in the environment; docs/operations.md has a row for each."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    trust_network: bool = Field(
        default=False,
        description="Says that a proxy in front decides who may ask; else an address other than loopback needs keys.",
    )
    data_dir: Path = Field(Path("data"), description="Where the catalog and the calibrations are kept.")
    catalog: str = Field("", description="Database URL of the catalog; empty is SQLite in the data directory.")

    originals: str = Field(
        "local",
        description="Where banked originals are kept: `local` is in the data directory; a folder, `s3://…`, or `none`.",
    )

    model: Annotated[tuple[str, ...], NoDecode] = Field(
        ("bundled",), min_length=1, description="The models whose spaces are served, comma-separated; the first leads."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where the models run.")
    index_engine: Literal["auto", "flat", "ivf-fp16", "ivf-pq"] = Field(
        "auto", description="How large views are searched; `auto` goes by their size, and is held to a measured recall."
    )
    index_overlap: float = Field(
        0.95,
        ge=0,
        le=1,
        description="The share of the ten nearest that large views must find, beside 99.5 % of the nearest.",
    )
    uncalibrated_variant_score: float = Field(
        0.92, ge=-1, le=1, description="The variant threshold of a space that has no calibration."
    )
    uncalibrated_related_score: float = Field(
        0.85, ge=-1, le=1, description="The related threshold of a space that has no calibration."
    )
    trusted_publishers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Publishers whose uploads are never suggested for blocking, comma-separated."
    )
    incident_types: Path | None = Field(
        None, description="A file of the types of incident there are, with their criteria; else those that are shipped."
    )
    features: Literal["keep", "none"] = Field(
        "keep", description="Whether local features are kept of what is banked; without them no match can be verified."
    )
    verify_candidates: int = Field(20, ge=1, le=200, description="The most candidates of an upload that are verified.")
    verify_budget_ms: int = Field(
        250, ge=1, description="How long verifying one upload may take; what is not done by then is not verified."
    )
    verify_cache_bytes: int = Field(
        64 * _MIB, ge=0, description="Memory of a worker for the local features it verified with lately."
    )

    key_rate_per_s: float = Field(
        100.0, ge=0, le=1e6, description="Requests a second of one key, unless the key says otherwise; 0 is no limit."
    )
    key_queries_per_day: int = Field(
        0,
        ge=0,
        description="Uploads that one key may ask about in a day, unless the key says otherwise; 0 is no limit.",
    )
    key_in_flight: int = Field(
        0, ge=0, le=1024, description="Requests that one key may have under way in a worker; 0 is half of IN_FLIGHT."
    )

    key_recordings_per_day: int = Field(
        1_000_000,
        ge=0,
        description="Uploads that one key may have recorded in a day; what is over is answered and not recorded. "
        "0 is no limit.",
    )
    sighting_retention_days: int = Field(
        7, ge=1, le=3650, description="How long recorded uploads are kept, in days from when they were received."
    )

    workers: int = Field(1, ge=1, le=64, description="Processes; each holds its own models and views.")
    threads: int = Field(48, ge=4, le=1024, description="Request threads of a worker; keep well above IN_FLIGHT.")
    in_flight: int = Field(
        32, ge=1, le=1024, description="Requests with media that a worker lets in at once; more are refused with 503."
    )
    event_streams: int = Field(
        16, ge=1, le=256, description="Event streams of a worker, in threads of their own; more are refused with 503."
    )
    cluster_alert_sightings: int = Field(
        5,
        ge=2,
        description="Unknown uploads alike, on two platforms or more, that are told of as an emerging cluster; "
        "and again whenever there are twice as many.",
    )
    event_retention_days: float = Field(7.0, gt=0, le=3650, description="How long the event log is kept.")
    torch_threads: int = Field(0, ge=0, le=256, description="Threads of the model on the CPU; 0 is one a core.")
    decode_processes: int = Field(0, ge=0, le=64, description="Processes that decode, a worker; 0 is one a core.")
    decode_timeout_ms: int = Field(10_000, ge=10, description="How long decoding one upload may take.")
    decode_memory_bytes: int = Field(2048 * _MIB, ge=256 * _MIB, description="The address space of a decoding process.")
    max_bytes: int = Field(32 * _MIB, ge=1024, description="The largest upload.")
    max_pixels: int = Field(100_000_000, ge=1, description="The most pixels of a picture.")
    max_frames: int = Field(2_000, ge=1, description="The most frames of an animated picture.")
    sampled_frames: int = Field(8, ge=1, le=64, description="Frames looked at of an animated picture.")
    json_bytes: int = Field(8 * _MIB, ge=1024, description="The largest JSON body.")
    batch_files: int = Field(64, ge=1, le=1024, description="The most files of a batch.")
    batch_bytes: int = Field(128 * _MIB, ge=1024, description="The largest body of a batch.")

    queue_frames: int = Field(256, ge=1, description="Frames that may wait for a model; more are refused with 503.")
    batch_frames: int = Field(16, ge=1, le=1024, description="The most frames a model takes at once.")
    batch_wait_ms: float = Field(3.0, ge=0, le=1000, description="How long a GPU waits for a batch to fill.")
    request_timeout_ms: int = Field(10_000, ge=10, description="After this a request is dropped and answered 503.")
    body_timeout_ms: int = Field(30_000, ge=10, description="How long the body of a request may take to arrive.")
    index_wait_ms: int = Field(2_000, ge=0, description="How long `min_index_version` is waited for.")
    graceful_timeout_s: int = Field(30, ge=1, description="How long requests may take to finish when it stops.")
    job_workers: int = Field(1, ge=0, le=16, description="Parts of jobs done at once by this service; 0 does none.")
    job_lease_s: int = Field(60, ge=2, description="How soon a worker that died over a part of a job is given up.")
    ingest_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders of this machine that jobs asked for over HTTP may read, comma-separated."
    )
    shadow_share: float = Field(
        0.1, ge=0, le=1, description="The share of uploads that are also asked in a space in shadow, to compare."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")

    @field_validator("model", "trusted_publishers", "ingest_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.uncalibrated_related_score > self.uncalibrated_variant_score:
            raise ValueError("UNCALIBRATED_RELATED_SCORE must not be over UNCALIBRATED_VARIANT_SCORE")
        if self.in_flight >= self.threads:
            raise ValueError("IN_FLIGHT must be under THREADS, so that a refusal finds a thread")
        if len(set(self.model)) != len(self.model):
            raise ValueError("MODEL names a model twice")
        return self

    @property
    def catalog_url(self) -> str:
        """What the catalog is opened with."""
        return self.catalog or f"sqlite:///{quote(str(self.data_dir.absolute() / 'catalog.db'))}"

    @property
    def has_catalog(self) -> bool:
        """Whether there is one to open; opening makes one."""
        return bool(self.catalog) or (self.data_dir / "catalog.db").exists()

    @property
    def snapshots_dir(self) -> Path:
        """Where the large parts of views lie, shared by the workers; they can be made again from the catalog."""
        return self.data_dir / "snapshots"

    @property
    def calibration_dir(self) -> Path:
        """Where an operator's own calibrations lie, one file a space."""
        return self.data_dir / "calibration"

    @property
    def originals_dir(self) -> Path:
        """Where banked originals are kept unless a setting says otherwise."""
        return self.data_dir / "originals"

    @property
    def sighting_retention(self) -> timedelta:
        return timedelta(days=self.sighting_retention_days)

    @property
    def jobs_dir(self) -> Path:
        """Where jobs put their files, a folder each."""
        return self.data_dir / "jobs"

    @property
    def places_of_a_key(self) -> int:
        """Requests that one key may have under way in a worker."""
        return self.key_in_flight or max(1, self.in_flight // 2)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def cores_for_decoding(self) -> int:
        return self.decode_processes or cores()

    @property
    def cores_for_models(self) -> int:
        return self.torch_threads or cores()


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_settings(**overrides: object) -> Settings:
    """
    The environment, with what is given over it; None leaves a setting to the environment.

    Raises:
        BadSettings: a name that does not exist, or a value that makes no sense; one line for each.
    """
    unknown = _unknown_names(os.environ)
    if unknown:
        raise BadSettings("\n".join(unknown))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSettings("\n".join(_sentences(error))) from None


def key_of_environment() -> str | None:
    """The key that commands show to a service: in the environment, for everyone can read a command line."""
    return os.environ.get("AFTERIMAGE_KEY", "").strip() or None


def _unknown_names(environ: Mapping[str, str]) -> list[str]:
    known = COMMAND_LINE_ONLY | {PREFIX + name.upper() for name in Settings.model_fields}
    sentences = []
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            sentences.append(f"{name} is not a setting.{hint}")
    return sentences


def _sentences(error: ValidationError) -> list[str]:
    """Says which setting and why, and never the value: a catalog URL may hold a password."""
    sentences = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else ""
        reason = fault["msg"].removeprefix("Value error, ")
        sentences.append(f"{PREFIX}{name}: {reason}." if name else f"{PREFIX}{reason}.")
    return sentences
