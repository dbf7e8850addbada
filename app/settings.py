"""One tree of settings, read from ``IQA_*`` variables; flags of the command line win over them."""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, create_model, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.cpu import cores
from app.fetching import Allowed, AllowedBuckets
from app.memory import installed_bytes
from app.processes.cgroup import ControlGroup
from models.registry import BUILT_IN, FULL_REFERENCE, no_reference, spec_of, specs

PREFIX: Final = "IQA_"

_MEBI: Final = 2**20
_MOST_WORK_BYTES: Final = 2_000_000_000
# As browsers send it: in small letters, and nothing after the port.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\sA-Z/?#@*,]+")
PATH_PREFIX: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)+")
"""A path that can stand in front of others: no host, no parent folder, and no letter that needs escaping."""


class SettingsError(Exception):
    """Settings that cannot be used; the message is for the person who set them, one line per fault."""


class _Settings(BaseSettings):
    """What can be configured. Sizes are in bytes or pixels, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    root_path: str = Field(
        "", description="Path below which clients see the service, such as /iqa; X-Forwarded-Prefix wins."
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Further port, for /livez, /readyz and /metrics alone; unset has none.",
    )
    http_processes: int = Field(
        1, ge=1, le=64, description="Processes that speak HTTP; they share the workers."
    )

    devices: Annotated[tuple[str, ...], NoDecode] = Field(
        ("auto",), description="auto, cpu, or a list such as cuda:0,cuda:1: one inference process each."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of inference."
    )
    runtime: Literal["auto", "eager", "openvino"] = Field(
        "auto", description="What computes: eager (torch) or openvino; auto takes openvino on CPUs."
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads of each inference process; unset shares the cores among them."
    )

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(spec.name for spec in BUILT_IN if spec.default and not spec.full_reference),
        description="No-reference models to load.",
    )
    qualiclip_sha256: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{64}$",
        description="What the official checkpoint must hash to; unset holds it to the first download.",
    )
    allow_untrained: bool = Field(
        False, description="Load even weights of arbitrary numbers, which are for measuring speed."
    )

    max_body_bytes: int = Field(20 * _MEBI, ge=1024, description="Largest file.")
    max_pixels: int = Field(
        120_000_000, ge=1024, description="Most pixels of an image, checked before decoding."
    )
    max_side: int = Field(30_000, ge=32, description="Longest side of an image.")
    min_side: int = Field(
        32, ge=32, description="Shortest side of an image; the models' grid has cells of 32."
    )
    max_aspect: float = Field(100.0, ge=1, description="Most that the long side may be of the short one.")
    max_frames: int = Field(10_000, ge=1, description="Most frames of an animation, or pages of a file.")
    max_scored_pixels: int = Field(
        2 * _MEBI, ge=1024, description="Most pixels that a model sees; larger images are scaled down."
    )

    encoded_cache_bytes: int | None = Field(
        None,
        ge=0,
        description="Bytes of encoded references that each inference process keeps; unset suits its device.",
    )

    queue_pixels: int = Field(
        64 * _MEBI, ge=1, description="Most pixels to score that are accepted and not yet answered."
    )
    batch_pixels: int | None = Field(
        None,
        ge=1,
        description="Most pixels of one batch of several images, over all models, padding included; unset "
        "suits the device.",
    )
    batch_images: int = Field(32, ge=1, description="Most requests of one batch.")
    batch_waste: float = Field(
        0.25, ge=0, description="Most padding of a batch of mixed sizes, as a share of its images' pixels."
    )
    decode_processes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Images decoded at a time by each HTTP process, each in a process of its own; unset "
        "shares half the cores among them.",
    )
    decode_timeout_s: float = Field(20.0, gt=0, le=3600, description="Longest that an image may be decoded.")

    timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Time in which work must start, without X-Timeout-Ms."
    )
    body_timeout_s: float = Field(30.0, gt=0, le=3600, description="Time in which a body must arrive.")
    body_min_rate: int = Field(
        1024,
        ge=0,
        description="Bytes per second that a body must bring, in each 7 s of waiting for it; 0 is no limit.",
    )
    head_timeout_s: float = Field(
        15.0,
        gt=0,
        le=3600,
        description="Time in which a request's headers must arrive, from connecting or their first byte.",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Most open connections of each HTTP process; unset suits the limit of open files.",
    )
    start_timeout_s: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Time in which a worker must have loaded its models; after that it is restarted.",
    )
    unready_exit_s: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="Time of not being ready after which the service ends and fails; 0 is never.",
    )
    drain_delay_s: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="How long everything is still served after SIGTERM while /readyz says 503.",
    )
    drain_timeout_s: float = Field(
        60.0, ge=0, le=3600, description="Longest wait for accepted work after that."
    )

    intake_bytes: int = Field(
        256 * _MEBI, ge=1024, description="Most bytes of files that are held before they are decoded."
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=1,
        description="Memory of the control group near which work is refused; unset is the group's own limit.",
    )
    memory_bytes: int | None = Field(
        None,
        ge=_MEBI,
        description="Most bytes of accepted work: files, images that are decoded, references and pixels that "
        "wait; unset takes a third of the memory, at most 2 GB. A single image is always decoded.",
    )
    max_files: int = Field(64, ge=1, le=10_000, description="Most files of one POST /score/batch.")

    cache_bytes: int = Field(64 * _MEBI, ge=0, description="Size of the result cache; 0 is off.")
    reference_cache_bytes: int = Field(
        128 * _MEBI,
        ge=0,
        description="Size of the cache of decoded references, for further comparisons with them; 0 is off.",
    )
    policies_file: Path | None = Field(
        None, description="File of policies in TOML, beside the built-in ones; read at the start only."
    )
    api_keys_file: Path | None = Field(
        None, description="File of API keys, a line each; looked at again twice a second."
    )
    api_keys: str | None = Field(
        None, repr=False, description="The same lines, separated by commas or newlines; they hold hashes."
    )
    metrics_key: bool = Field(False, description="Whether /metrics asks for an API key too.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may ask from a browser, or * for all; unset lets none."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Proxies (addresses, networks) whose X-Forwarded-For names the client; unset is none.",
    )
    fetch_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts from which images are fetched by their address: a name, *.name, name:port, * for "
        "all, or a network such as 10.1.0.0/16, whose addresses may be private; unset fetches nothing.",
    )
    fetch_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Buckets from which images are fetched by their address, such as s3://photos or "
        "gs://photos/public/; unset reads none.",
    )
    log_format: Literal["console", "json"] = Field("console", description="Form of the log.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @field_validator(
        "devices", "models", "cors_origins", "trusted_proxies", "fetch_hosts", "fetch_buckets", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("models")
    @classmethod
    def _known_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = no_reference()
        if not value or len(set(value)) < len(value) or not set(value) <= set(known):
            raise ValueError(f"must name one or several of {', '.join(known)}, each once")
        return value

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        several_names = len(value) > 1 and "auto" in value
        if not value or several_names or not all(_is_device(device) for device in value):
            raise ValueError("must be auto, cpu, or a list such as cuda:0,cuda:1")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _known_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError("must be a list such as 127.0.0.1,10.0.0.0/8") from error
        return value

    @field_validator("fetch_hosts")
    @classmethod
    def _known_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.of(value)
        return value

    @field_validator("fetch_buckets")
    @classmethod
    def _known_buckets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        AllowedBuckets.of(value)
        return value

    @field_validator("root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        path = value.removesuffix("/")
        if path and not PATH_PREFIX.fullmatch(path):
            raise ValueError("must be a path such as /iqa, of letters, digits, and -._~ between slashes")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != ("*",) and not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("must be *, or a list such as https://example.org,http://localhost:3000")
        return value

    @model_validator(mode="after")
    def _models_have_weights(self) -> Self:
        for name in self.models:
            if not self._source(name):
                raise ValueError(
                    f"no weights of {name} come with the service: set {PREFIX}{spec_of(name).setting.upper()}"
                )
        return self

    @model_validator(mode="after")
    def _metrics_have_a_lock(self) -> Self:
        # To start without the lock that someone asked for would be worse than not to start.
        if self.metrics_key and self.api_keys_file is None and self.api_keys is None:
            raise ValueError(
                "IQA_METRICS_KEY is set, but there are no keys: set IQA_API_KEYS_FILE or IQA_API_KEYS too."
            )
        return self

    def decoders(self) -> int:
        """Images decoded at a time by each HTTP process, or by a command.

        By default half the cores, which leaves the others to inference; at least two, so that one image
        that takes long does not hold up all others.
        """
        if self.decode_processes is not None:
            return self.decode_processes
        return max(2, min(8, cores() // 2 // self.http_processes))

    def work_bytes(self) -> int:
        """Most bytes of accepted work, over all HTTP processes."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return min(_MOST_WORK_BYTES, installed_bytes(ControlGroup()) // 3)

    def sources(self) -> dict[str, str]:
        """Where the weights come from, by model to load; full-reference BPCLIP is always among them."""
        return {name: self._source(name) for name in (*self.models, FULL_REFERENCE)}

    def _source(self, name: str) -> str:
        spec = spec_of(name)
        return getattr(self, spec.setting, None) or spec.source or ""


def _weights_settings() -> dict[str, Any]:
    """A setting for each model of the registry that has weights of its own."""
    return {
        spec.setting: (str if spec.source else str | None, Field(spec.source, description=spec.sources))
        for spec in specs().values()
        if spec.weights is None
    }


if TYPE_CHECKING:

    class Settings(_Settings):
        """What can be configured."""

else:
    Settings = create_model(
        "Settings", __base__=_Settings, __doc__=_Settings.__doc__, __module__=__name__, **_weights_settings()
    )


def answering(models: Sequence[str]) -> str:
    """Whose score is the answer's: BPCLIP's if it was asked for, since it learned from people's opinions."""
    return "bpclip" if "bpclip" in models else models[0]


def read_settings(**flags: Any) -> Settings:
    """Settings from the environment, with `flags` over it; a flag of None counts as not given.

    Raises:
        SettingsError: a value is not usable; the message says which and why.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error))) from error


def unknown_variables(environment: Iterable[str] | None = None) -> list[str]:
    """Names of ``IQA_*`` variables that no setting has: most likely misspelt."""
    known = _known_variables()
    names = os.environ if environment is None else environment
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)


def nearest_variable(name: str) -> str:
    """The known ``IQA_*`` variable whose spelling is nearest to `name`."""
    # Without the prefix, which all names share; a cutoff of 0 always gives one.
    known = [each.removeprefix(PREFIX) for each in _known_variables()]
    return PREFIX + difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.0)[0]


def _known_variables() -> list[str]:
    return [PREFIX + name.upper() for name in Settings.model_fields]


def _is_device(name: str) -> bool:
    kind, _, index = name.partition(":")
    return name in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdigit())


def _faults(error: ValidationError) -> list[str]:
    """One sentence per fault, in the words of the environment."""
    faults = []
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            faults.append(message)
            continue
        name = PREFIX + str(fault["loc"][0]).upper()
        if fault["type"] == "extra_forbidden":
            faults.append(f"{name} is not a setting.")
        else:
            faults.append(f"{name}={fault['input']} is not usable: {message[:1].lower()}{message[1:]}.")
    return faults
