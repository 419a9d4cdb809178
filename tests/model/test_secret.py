"""Secrets work as texts, and are hidden in every form in which a message could show them."""

from __future__ import annotations

import copy
import json
import pickle
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.secret import HIDDEN, Redactor, Secret

LONG = "correct horse battery staple"


class Login(msgspec.Struct):
    password: str


def hide(text: str, *secrets: str) -> str:
    """Return a text without these secrets."""
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor.hide(text)


def test_a_secret_is_its_text_and_its_repr_is_not() -> None:
    secret = Secret("hunter2", "${file:pw}")
    assert secret == "hunter2"
    assert str(secret) == "hunter2"
    assert type(str(secret)) is str
    assert repr([secret]) == f"[{HIDDEN}]"
    assert secret.written == "${file:pw}"


def test_a_secret_is_a_setting_and_its_struct_does_not_show_it() -> None:
    made = msgspec.convert({"password": Secret("hunter2")}, Login)
    assert made.password == "hunter2"
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda secret: pickle.loads(pickle.dumps(secret))])
def test_a_copy_of_a_secret_is_one(again: object) -> None:
    made = again(Secret("hunter2", "${file:pw}"))  # type: ignore[operator]
    assert (repr(made), made, made.written) == (HIDDEN, "hunter2", "${file:pw}")


def test_without_secrets_a_text_stays_as_it_is() -> None:
    redactor = Redactor()
    assert not redactor
    assert redactor.hide("anything") == "anything"
    redactor.add(" \n")
    assert not redactor


@pytest.mark.parametrize(
    "shown",
    [
        LONG,
        repr(LONG),
        quote(LONG, safe=""),
        "correct  horse\n battery staple".replace("\n", " ").replace("  ", " "),
        LONG[:20] + "...",
    ],
)
def test_a_secret_is_hidden_as_it_is_quoted_and_cut_off(shown: str) -> None:
    assert "horse" not in hide(f"bad value {shown} here", LONG)


def test_each_line_of_a_secret_is_hidden() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    text = f"cannot parse MIIEvQIBADANBg: {key!r}, {json.dumps(key)}"
    assert hide(text, key).count(HIDDEN) == 3
    assert "kqhk" not in hide(text, key)


def test_a_short_secret_is_hidden_where_it_stands_alone() -> None:
    assert hide("port of export: or", "or") == f"port of export: {HIDDEN}"
    assert hide("in 3 out 3", "3") == "in 3 out 3"


def test_a_secret_of_digits_is_no_number_of_json() -> None:
    line = json.dumps({"at": 1234, "error": "pin 1234", "x": 0.1234})
    assert json.loads(hide(line, "1234")) == {"at": 1234, "error": f"pin {HIDDEN}", "x": 0.1234}
    assert hide("nothing but 12", "12") == "nothing but 12"


def test_the_longer_of_two_secrets_is_hidden_first() -> None:
    assert hide("passwordpassword", "password", "passwordpassword") == HIDDEN


@given(st.text(st.sampled_from("aZ09 '\"\\\n\té{}$"), min_size=8, max_size=40))
def test_no_form_of_a_secret_is_left(secret: str) -> None:
    if not secret.strip() or secret.strip().isdigit() or len(secret.strip()) < 4:
        return
    for shown in (secret, repr(secret), json.dumps(secret), " ".join(secret.split())):
        assert secret.strip() not in hide(f"<<{shown}>>", secret)
