"""What the sentences of refusals mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.refusal_words import classify
from sidecar.core.reasons import REFUSALS, Failure

SENTENCES = {
    Failure.NO_SEATS: [
        "No free seat left",
        "There are no more activations available for this activation key.",
        "No available licenses",
        "not enough licences",
        "Insufficient seats",
        "Too many deployments",
        "0 activations remaining",
        "All seats are in use",
        "All 10 of the licences for this key are already taken",
        "Every license is currently used",
        "The maximum number of deployments for this activation key has been reached",
        "Maximum activation count exceeded",
        "Activation limit reached",
        "You have reached the limit of activations",
        "You exceeded your quota",
        "Requested quantity exceeds the available quantity",
        "License quota exhausted",
        "Activations: none left",
        "Your licenses are used up",
        "This activation key is already in use",
        "The key has already been activated on another deployment",
        "Out of licenses",
        "Node count: number of nodes used equals the maximum",
    ],
    Failure.EXPIRED: [
        "Your license has expired",
        "The activation key expired on 01/01/2020",
        "License expiration date has passed",
        "Subscription: past its end",
        "This licence is no longer valid",
        "Your maintenance has ended",
    ],
    Failure.INVALID_KEY: [
        "Invalid activation key",
        "Unknown license key",
        "The activation key was not found",
        "Activation key does not exist",
        "There is no such activation key",
        "License key not recognized",
        "The key is not valid for this product",
    ],
    Failure.INVALID_DEPLOYMENT: [
        "Invalid deployment",
        "Malformed deployment ID",
        "The deployment ID is missing",
        "Deployment is not valid",
    ],
    Failure.INVALID_REQUEST: [
        "Could not activate your product because the quantity you provided is invalid.",
        "The quantity is not valid",
        "quantity must be a positive number",
        "Invalid parameter",
        "Malformed request",
        "Missing parameter: product",
    ],
    Failure.REFUSED: ["", "Something went wrong", "Contact support", "Key revoked", "Your request was declined"],
}


@pytest.mark.parametrize(
    ("reason", "said"), [(reason, said) for reason, sentences in SENTENCES.items() for said in sentences]
)
def test_words(reason: Failure, said: str) -> None:
    """Many wordings of the same thing are understood, whatever their case and line breaks."""
    assert classify(said) is reason
    assert classify(said.upper().replace(" ", "\n ")) is reason


@given(st.text(max_size=300))
def test_every_sentence_is_a_refusal(said: str) -> None:
    """Whatever is said, it is classified as one of the refusals: words never make an outage."""
    assert classify(said) in REFUSALS
