"""Methods as a study writes them."""

from __future__ import annotations

from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.methods import Method, Pair, build_method, methods, parse_method
from support.methods import OF_CLASSIFIERS, STAGES, shapes

WHERE = "study.yaml: methods"


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_name_alone_means_the_defaults(name: str) -> None:
    spec = parse_method(name, WHERE)
    assert (spec.name, spec.label, spec.config) == (name, name, methods[name].Config())
    assert spec == parse_method({name: {}}, WHERE) == parse_method({name: None}, WHERE)
    there = shapes(10, STAGES.get(name, 1))
    method = build_method(spec, Pair(there, there, n_train=100))
    assert type(method) is methods[name] and method.config == spec.config


@pytest.mark.parametrize("name", methods)
def test_full_configuration_is_read_back_as_the_same_spec(name: str) -> None:
    spec = parse_method(name, WHERE)
    again = parse_method({name: spec.config.model_dump(mode="json")}, WHERE)
    assert again == spec and again.label == name and hash(again) == hash(spec)


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        ({"kd": {"temperature": 2}}, "kd(temperature=2)"),
        ({"kd": {"temperature": 2.0}}, "kd(temperature=2)"),
        ({"kd": {"temperature": 4, "ce_weight": 0.1}}, "kd"),
        ({"kd": {"temperature": 2.5, "ce_weight": 0}}, "kd(ce_weight=0, temperature=2.5)"),
        ({"dkd": {"warmup": 0, "beta": 2}}, "dkd(beta=2, warmup=0)"),
        ({"label_smoothing": {"smoothing": 0.123456789}}, "label_smoothing(smoothing=0.123456789)"),
    ],
)
def test_label_names_settings_that_differ_from_the_defaults(entry: dict[str, Any], label: str) -> None:
    assert parse_method(entry, WHERE).label == label


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("kdd", f"{WHERE}: unknown method 'kdd', did you mean 'kd'?"),
        ("dkt", f"{WHERE}: unknown method 'dkt', did you mean"),
        ({"kd": {"temprature": 2}}, f"{WHERE}.kd: unknown key 'temprature', did you mean 'temperature'?"),
        ({"kd": {"temperature": 0}}, f"{WHERE}.kd.temperature: 0 is not accepted (allowed: greater than 0"),
        ({"kd": {"temperature": "hot"}}, f"{WHERE}.kd.temperature: 'hot' is not accepted"),
        ({"kd": {"temperature": True}}, f"{WHERE}.kd.temperature: True is not accepted"),
        ({"kd": {"temperature": float("inf")}}, f"{WHERE}.kd.temperature: inf is not accepted"),
        ({"kd": {"kd_weight": float("nan")}}, f"{WHERE}.kd.kd_weight: nan is not accepted"),
        ({"kd": {"ce_weight": -1}}, f"{WHERE}.kd.ce_weight: -1 is not accepted (allowed: at least 0"),
        ({"dkd": {"warmup": 20}}, f"{WHERE}.dkd.warmup: 20 is not accepted (allowed: at most 1"),
        ({"ce": {"temperature": 1}}, f"{WHERE}.ce: unknown key 'temperature'"),
        ({"kd": 4}, f"{WHERE}: {{'kd': 4}} is not a method"),
        (
            {"kd": {}, "dkd": {"weight": 0}},
            f"{WHERE}.dkd.weight: 0 is not accepted (allowed: a number above 0",
        ),
        ({"kd": {}, "dkd": {"weight": True}}, f"{WHERE}.dkd.weight: True is not accepted"),
        ({"kd": {}, "dkt": {}}, f"{WHERE}: unknown method 'dkt', did you mean"),
        ({"kd": {}, "self": {}}, f"{WHERE}: methods that learn from different teachers cannot be added"),
        ({}, f"{WHERE}: {{}} is not a method"),
        (3, f"{WHERE}: 3 is not a method"),
        (None, f"{WHERE}: None is not a method"),
    ],
)
def test_errors_name_their_place(entry: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_method(entry, WHERE)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", methods)
def test_configurations_are_frozen_and_closed(name: str) -> None:
    assert issubclass(methods[name].Config, Method.Config)
    assert (
        methods[name].Config.model_config["frozen"] and methods[name].Config.model_config["extra"] == "forbid"
    )
