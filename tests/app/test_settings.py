"""Settings: where they come from, and what is said about wrong ones."""

import re

import pytest

from app.settings import Settings, SettingsError, nearest_variable, read_settings, unknown_variables


def test_defaults_are_the_contract() -> None:
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.models == ("qualiclip", "bpclip")
    assert (settings.max_body_bytes, settings.max_pixels, settings.min_side) == (20 * 2**20, 120_000_000, 32)
    assert settings.timeout_s == 30


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_PORT", "9000")
    monkeypatch.setenv("IQA_HOST", "0.0.0.0")
    settings = read_settings(port=9001, host=None)
    assert (settings.host, settings.port) == ("0.0.0.0", 9001)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_DEVICES", "cuda:0, cuda:1")
    monkeypatch.setenv("IQA_MODELS", "bpclip")
    settings = read_settings()
    assert (settings.devices, settings.models) == (("cuda:0", "cuda:1"), ("bpclip",))


def test_the_full_reference_weights_are_always_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_BPCLIP_FR_WEIGHTS", "/mine")
    assert read_settings(models="qualiclip").sources() == {"qualiclip": "bundled", "bpclip-fr": "/mine"}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("IQA_PORT", "http", "IQA_PORT=http is not usable: .*integer"),
        ("IQA_PORT", "70000", "IQA_PORT=70000 is not usable: .*65535"),
        ("IQA_MIN_SIDE", "8", "IQA_MIN_SIDE=8 is not usable: .*32"),
        ("IQA_DEVICES", "gpu", "IQA_DEVICES=gpu is not usable: must be auto"),
        ("IQA_DEVICES", "auto,cpu", "IQA_DEVICES=.* is not usable: must be auto"),
        ("IQA_MODELS", "clip", "IQA_MODELS=clip is not usable: must name"),
        ("IQA_DTYPE", "int8", "IQA_DTYPE=int8 is not usable"),
        (
            "IQA_METRICS_KEY",
            "true",
            "IQA_METRICS_KEY is set, but there are no keys: set IQA_API_KEYS_FILE or",
        ),
        ("IQA_CORS_ORIGINS", "example.org", "IQA_CORS_ORIGINS=.* is not usable: must be \\*, or a list"),
        ("IQA_CORS_ORIGINS", "https://a.org/page", "IQA_CORS_ORIGINS=.* is not usable: must be"),
        ("IQA_CORS_ORIGINS", "https://a.org,*", "IQA_CORS_ORIGINS=.* is not usable: must be"),
        ("IQA_ROOT_PATH", "iqa", "IQA_ROOT_PATH=iqa is not usable: must be a path such as /iqa"),
        ("IQA_ROOT_PATH", "//host", "IQA_ROOT_PATH=//host is not usable: must be a path"),
        ("IQA_ROOT_PATH", "https://a.org/iqa", "IQA_ROOT_PATH=.* is not usable: must be a path"),
        ("IQA_CORS_ORIGINS", "https://A.org", "IQA_CORS_ORIGINS=.* is not usable: must be"),
    ],
)
def test_a_wrong_value_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert re.fullmatch(sentence + ".*", str(caught.value))


def test_every_wrong_value_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(port=-1, timeout_s=0, color="red")
    assert [line.split("=")[0].split()[0] for line in str(caught.value).splitlines()] == [
        "IQA_PORT", "IQA_TIMEOUT_S", "IQA_COLOR"
    ]  # fmt: skip


def test_origins_are_as_browsers_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().cors_origins == ()
    monkeypatch.setenv("IQA_CORS_ORIGINS", "https://example.org, http://localhost:3000,http://[::1]:80")
    assert read_settings().cors_origins == (
        "https://example.org",
        "http://localhost:3000",
        "http://[::1]:80",
    )
    assert read_settings(cors_origins="*").cors_origins == ("*",)


def test_metrics_may_be_locked_where_there_are_keys() -> None:
    assert read_settings(metrics_key=True, api_keys="a:b").metrics_key


def test_misspelt_variables_are_found() -> None:
    assert unknown_variables(["IQA_PORT", "IQA_PROT", "PATH"]) == ["IQA_PROT"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("IQA_PROT", "IQA_PORT"),
        ("IQA_MAX_PIXEL", "IQA_MAX_PIXELS"),
        ("IQA_API_KEY_FILE", "IQA_API_KEYS_FILE"),
        ("IQA_CORS_ORIGIN", "IQA_CORS_ORIGINS"),
    ],
)
def test_the_nearest_variable_is_the_one_that_was_meant(name: str, nearest: str) -> None:
    assert nearest_variable(name) == nearest


@pytest.mark.parametrize("name", ["IQA_", "IQA_XYZ", "IQA_0"])
def test_there_is_a_nearest_variable_however_far_off(name: str) -> None:
    assert unknown_variables([nearest_variable(name)]) == []


def test_settings_survive_the_way_to_a_child() -> None:
    settings = read_settings(models="bpclip", devices="cpu", log_format="json")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("available", "http_processes", "decoders"),
    [(1, 1, 2), (2, 1, 2), (8, 1, 4), (64, 1, 8), (64, 8, 4), (8, 8, 2)],
)
def test_decoders_take_half_the_cores_among_the_http_processes(
    available: int, http_processes: int, decoders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.settings.cores", lambda: available)
    assert Settings(http_processes=http_processes).decoders() == decoders
    assert Settings(http_processes=http_processes, decode_processes=5).decoders() == 5
