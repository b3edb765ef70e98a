"""Puts the pool's decisions into the vendor's words, as the switches want them.

It decides nothing: which seat is free and which parameter is wrong, it is told.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Final

from mock_activation.answers import (
    ACTIVATION_FAILED,
    BAD_REQUEST,
    DEACTIVATION_FAILED,
    EXPIRED_SENTENCE,
    INVALID,
    INVALID_SENTENCE,
    NO_SEATS_SENTENCE,
    NOT_ACTIVE_SENTENCE,
    NOT_FOUND,
    OK,
    SUSPENDED_SENTENCE,
    UNKNOWN_KEY_SENTENCE,
    VAGUE_SENTENCE,
    WRONG_PRODUCT_SENTENCE,
    Answer,
    Outcome,
)
from mock_activation.switches import (
    BadRelease,
    ContentTypes,
    Missing,
    Phrases,
    RefusalTexts,
    ReleaseBody,
    Switches,
    UnknownKey,
    UnknownPair,
)

_YAML: Final = "text/yaml"
_JSON: Final = "application/json"
_TYPES: Final = {ContentTypes.OCTET_STREAM: "application/octet-stream", ContentTypes.HTML: "text/html"}


class Parameter(StrEnum):
    """A parameter of a request, as the vendor's sentences call it."""

    KEY = "Activation Key"
    DEPLOYMENT = "Deployment ID"
    QUANTITY = "quantity"


_OUTCOMES: Final = {
    Parameter.KEY: Outcome.INVALID_KEY,
    Parameter.DEPLOYMENT: Outcome.INVALID_DEPLOYMENT,
    Parameter.QUANTITY: Outcome.INVALID_QUANTITY,
}
_REFUSALS: Final = {
    Outcome.UNKNOWN_KEY: UNKNOWN_KEY_SENTENCE,
    Outcome.EXPIRED: EXPIRED_SENTENCE,
    Outcome.SUSPENDED: SUSPENDED_SENTENCE,
    Outcome.WRONG_PRODUCT: WRONG_PRODUCT_SENTENCE,
    Outcome.NO_SEATS: NO_SEATS_SENTENCE,
}


class Wording:
    """The answers under one position of the switches."""

    __slots__ = ("_switches",)

    def __init__(self, switches: Switches) -> None:
        """Speak as these switches want it."""
        self._switches = switches

    def activated(self, licence: str) -> Answer:
        """Return the licence file."""
        return self._answer(OK, licence, Outcome.ACTIVATED)

    def refused(self, outcome: Outcome) -> Answer:
        """Return why there is no seat: one of ``effects.REFUSALS``."""
        if outcome is Outcome.UNKNOWN_KEY and self._switches.unknown_key is UnknownKey.INVALID:
            return self._error(INVALID, INVALID_SENTENCE.format(Parameter.KEY), outcome)
        vague = self._switches.refusal_texts is RefusalTexts.VAGUE
        return self._error(ACTIVATION_FAILED, VAGUE_SENTENCE if vague else _REFUSALS[outcome], outcome)

    def invalid(self, parameter: Parameter, *, missing: bool) -> Answer:
        """Return that a parameter of an activation is malformed or missing."""
        outcome, sentence = _OUTCOMES[parameter], INVALID_SENTENCE.format(parameter)
        if missing and self._switches.missing is Missing.BAD_REQUEST:
            return self._error(BAD_REQUEST, sentence, outcome, HTTPStatus.BAD_REQUEST)
        failed = missing and self._switches.missing is Missing.FAILED
        return self._error(ACTIVATION_FAILED if failed else INVALID, sentence, outcome)

    def invalid_release(self, parameter: Parameter, *, missing: bool) -> Answer:
        """Return that a parameter of a deactivation is malformed or missing."""
        if self._switches.bad_release is BadRelease.NOT_FOUND:
            sentence = INVALID_SENTENCE.format(parameter)
            return self._error(NOT_FOUND, sentence, _OUTCOMES[parameter], HTTPStatus.NOT_FOUND)
        return self.invalid(parameter, missing=missing)

    def released(self, outcome: Outcome = Outcome.RELEASED) -> Answer:
        """Return that a seat is free."""
        match self._switches.release_body:
            case ReleaseBody.JSON:
                return self._answer(OK, '{"success": true}', outcome, content_type=_JSON)
            case ReleaseBody.YAML:
                return self._answer(OK, "success: true\n", outcome)
            case ReleaseBody.EMPTY:
                return self._answer(OK, "", outcome)

    def not_active(self) -> Answer:
        """Return that the pair of a deactivation is not active."""
        match self._switches.unknown_pair:
            case UnknownPair.OK:
                return self.released(Outcome.NOT_ACTIVE)
            case UnknownPair.ERROR:
                return self._error(DEACTIVATION_FAILED, NOT_ACTIVE_SENTENCE, Outcome.NOT_ACTIVE)
            case UnknownPair.NOT_FOUND:
                return self._error(NOT_FOUND, NOT_ACTIVE_SENTENCE, Outcome.NOT_ACTIVE, HTTPStatus.NOT_FOUND)

    def not_released(self, outcome: Outcome) -> Answer:
        """Return that a key in this state gives nothing back."""
        vague = self._switches.refusal_texts is RefusalTexts.VAGUE
        sentence = VAGUE_SENTENCE if vague else _REFUSALS[outcome]
        return self._error(DEACTIVATION_FAILED, sentence.replace("not activate", "not deactivate"), outcome)

    def _error(self, phrase: str, sentence: str, outcome: Outcome, status: int = 200) -> Answer:
        return self._answer(phrase, f"error: '{sentence}'\n", outcome, status=int(status))

    def _answer(
        self, phrase: str, body: str, outcome: Outcome, *, status: int = 200, content_type: str = _YAML
    ) -> Answer:
        if self._switches.phrases is Phrases.OFF:
            phrase = ""
        if self._switches.content_types is not ContentTypes.PLAUSIBLE:
            content_type = _TYPES[self._switches.content_types]
        return Answer(status, phrase, body.encode(), outcome, content_type)
