"""Settings: CAUDAL_<NAME>, typed; what is misspelt or does not fit is named."""

from __future__ import annotations

import base64
from typing import get_args, get_type_hints

import pytest

from caudal.kernel.settings import FOREIGN, PREFIX, SettingError, Settings, load

REFUSED = """
CAUDAL_PORT=                      CAUDAL_PORT
CAUDAL_PORT=x                     CAUDAL_PORT
CAUDAL_PORT=70000                 CAUDAL_PORT
CAUDAL_PORT=-1                    CAUDAL_PORT
CAUDAL_PROT=8700                  did you mean CAUDAL_PORT?
CAUDAL_port=8700                  is not a setting
CAUDAL_=1                         is not a setting
CAUDAL_MAX_BATCH=0                CAUDAL_MAX_BATCH
CAUDAL_MAX_BATCH=1.5              CAUDAL_MAX_BATCH
CAUDAL_KEY_CACHE_S=2              CAUDAL_KEY_CACHE_S
CAUDAL_LEASE_S=0                  CAUDAL_LEASE_S
CAUDAL_SPEI_PREFIX=12345          CAUDAL_SPEI_PREFIX
CAUDAL_SPEI_PREFIX=64618a         CAUDAL_SPEI_PREFIX
CAUDAL_LOG_LEVEL=loud             CAUDAL_LOG_LEVEL
CAUDAL_LOG_JSON=perhaps           CAUDAL_LOG_JSON
CAUDAL_SHARDS=0                   CAUDAL_SHARDS
CAUDAL_SHARDS=65                  CAUDAL_SHARDS
"""


@pytest.mark.parametrize("name", ["CAUDAL_SPEI_SECRET", "CAUDAL_PROVIDER_SECRET"])
def test_play_money_and_real_money_have_different_secrets(name: str) -> None:
    load({f"{name}_TEST": "a", f"{name}_LIVE": "b"})
    with pytest.raises(SettingError, match=f"{name}_LIVE is the same as {name}_TEST"):
        load({f"{name}_TEST": "a", f"{name}_LIVE": "a"})


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({"HOME": "/", "CAUDALS": "other"}) == Settings()


def test_a_variable_is_read_as_the_type_of_its_setting() -> None:
    given = {"CAUDAL_PORT": "9000", "CAUDAL_LEASE_S": "1.5", "CAUDAL_LOG_JSON": "false", "CAUDAL_HOST": "::1"}
    loaded = load(given)
    assert (loaded.port, loaded.lease_s, loaded.log_json, loaded.host) == (9000, 1.5, False, "::1")


def test_an_empty_variable_leaves_an_optional_setting_unset() -> None:
    assert load({"CAUDAL_DATABASE_URL": "", "CAUDAL_KEK": ""}) == Settings()


def test_a_variable_of_a_neighbour_is_left_alone() -> None:
    assert load(dict.fromkeys(FOREIGN, "secret")) == Settings()


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_what_is_wrong_is_named(line: str) -> None:
    assignment, expected = line.split(maxsplit=1)
    name, _, value = assignment.partition("=")
    with pytest.raises(SettingError, match=expected.replace("?", r"\?")):
        load({name: value})


def test_every_setting_can_be_given_by_the_environment() -> None:
    for name in Settings.__struct_fields__:
        value = getattr(Settings(), name)
        if value is None:
            value = 7 if int in get_args(get_type_hints(Settings)[name]) else "x"
        text = str(value).lower() if isinstance(value, bool) else str(value)
        assert getattr(load({PREFIX + name.upper(): text}), name) == value


def test_the_key_encryption_key_is_32_bytes_of_base64() -> None:
    key = bytes(range(32))
    assert Settings(kek=base64.b64encode(key).decode()).kek_bytes() == key
    for kek in (None, "not base64!", base64.b64encode(key[:31]).decode(), base64.b64encode(key * 2).decode()):
        with pytest.raises(SettingError, match="CAUDAL_KEK"):
            Settings(kek=kek).kek_bytes()


def test_former_keys_are_separated_by_commas() -> None:
    keys = [bytes([byte]) * 32 for byte in (1, 2)]
    texts = [base64.b64encode(key).decode() for key in keys]
    assert Settings().former_keks() == ()
    assert Settings(kek_former=", ".join(texts)).former_keks() == tuple(keys)
    for wrong in ("", f"{texts[0]},", "not base64!", texts[0][:40]):
        with pytest.raises(SettingError, match="CAUDAL_KEK_FORMER"):
            Settings(kek_former=wrong).former_keks()
