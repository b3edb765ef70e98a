"""Stories for the alerts about what becomes of a licence: its end, the end of a grace, attempts that fail."""

from __future__ import annotations

from typing import Final

from tests.chart.promtool import Case, pod

NO_SEATS: Final = 'activation_failures_total{reason="no_seats"}'
EXPIRED: Final = 'activation_failures_total{reason="expired"}'
ATTEMPTS: Final = "activation_attempts_total"
EXPIRES: Final = "license_expiration_timestamp_seconds"
GRACE: Final = "grace_end_timestamp_seconds"
DAY: Final = 86400
HOUR: Final = 3600

EXPIRY: Final = (
    Case(
        "20 days left",
        "LicenseExpiringSoon",
        pod("a", {EXPIRES: ((20 * DAY, 40),)}) | pod("b", {EXPIRES: ((300 * DAY, 40),)}),
        quiet=(5,),
        fires={20: ({},)},
        says=(
            "The licence of license-sidecar in namespace icap expires in 19d 23h 40m 0s. A renewed or another key"
            " is needed by then."
        ),
    ),
    Case("40 days left", "LicenseExpiringSoon", pod("a", {EXPIRES: ((40 * DAY, 40),)}), quiet=(20, 39)),
    Case("6 days left are the other alert", "LicenseExpiringSoon", pod("a", {EXPIRES: ((6 * DAY, 40),)}), quiet=(39,)),
    Case("nobody knows when", "LicenseExpiringSoon", pod("a", {EXPIRES: ((0, 40),)}), quiet=(20, 39)),
    Case(
        "6 days left",
        "LicenseExpiryCritical",
        pod("a", {EXPIRES: ((6 * DAY, 40),)}) | pod("b", {EXPIRES: ((300 * DAY, 40),)}),
        quiet=(5,),
        fires={20: ({},)},
        says=(
            "The licence of license-sidecar in namespace icap expires in 5d 23h 40m 0s. Pods that start "
            "afterwards are refused, and those that run lose their licence."
        ),
    ),
    Case(
        "it has expired",
        "LicenseExpiryCritical",
        pod("a", {EXPIRES: ((60, 40),)}),
        fires={20: ({},)},
        says=(
            "The licence of license-sidecar in namespace icap has expired. Pods that start afterwards are "
            "refused, and those that run lose their licence."
        ),
    ),
    Case(
        "8 days left, or nobody knows when",
        "LicenseExpiryCritical",
        pod("a", {EXPIRES: ((8 * DAY, 40),)}) | pod("b", {EXPIRES: ((0, 40),)}),
        quiet=(20, 39),
    ),
    Case(
        "during the rotation of the key two dates are told for a while",
        "LicenseExpiryCritical",
        pod("a", {EXPIRES: ((6 * DAY, 10), (300 * DAY, 30))}) | pod("b", {EXPIRES: ((300 * DAY, 40),)}),
        quiet=(8, 16, 30),
    ),
)

GRACE_ENDING: Final = (
    Case(
        "three hours of grace are left",
        "LicenseGraceEndingSoon",
        pod("a", {GRACE: ((3 * HOUR, 20),)}) | pod("b", {GRACE: ((23 * HOUR, 20),)}),
        quiet=(3,),
        fires={10: ({},)},
        says=(
            "The first pods of license-sidecar in namespace icap that serve on grace become unready in 2h 50m 0s."
            " Until then what should confirm their licence must answer again: `license-sidecar status` tells what"
            " that is."
        ),
    ),
    Case(
        "a grace that has just begun, or none",
        "LicenseGraceEndingSoon",
        pod("a", {GRACE: ((24 * HOUR, 20),)}) | pod("b", {GRACE: ((0, 20),)}),
        quiet=(10, 19),
    ),
)

ACTIVATION_ERRORS: Final = (
    Case(
        "the activation server answers nothing",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: (("0+3", 30),), 'activation_failures_total{reason="timeout"}': (("0+3", 30),)}),
        quiet=(3, 9),
        fires={12: ({},), 25: ({},)},
        says=(
            "100% of the attempts of license-sidecar in namespace icap to get a licence have failed for 10 "
            "minutes. Reasons: timeout."
        ),
    ),
    Case(
        "the app takes no licence: failures without a single request",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: ((1, 30),), 'activation_failures_total{reason="app"}': (("0+2", 30),)}),
        fires={20: ({},)},
    ),
    Case(
        "seven of ten fail",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: (("0+10", 30),), 'activation_failures_total{reason="protocol"}': (("0+7", 30),)}),
        fires={20: ({},)},
    ),
    Case(
        "four of ten fail",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: (("0+10", 30),), 'activation_failures_total{reason="protocol"}': (("0+4", 30),)}),
        quiet=tuple(range(30)),
    ),
    Case(
        "an outage that is over for a quarter of an hour",
        "LicenseActivationErrors",
        pod(
            "a",
            {
                ATTEMPTS: (("0+3", 15), ("42+1", 30)),
                'activation_failures_total{reason="timeout"}': (("0+3", 15), (42, 30)),
            },
        ),
        fires={13: ({},)},
        quiet=tuple(range(21, 45)),
    ),
    Case(
        "one failure and a success, as after a hiccup",
        "LicenseActivationErrors",
        pod(
            "a", {ATTEMPTS: ((0, 3), (2, 27)), 'activation_failures_total{reason="network"}': ((0, 3), (1, 3), (1, 24))}
        ),
        quiet=tuple(range(30)),
    ),
    Case(
        "one failed attempt in a quiet fleet",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: ((0, 3), (1, 27)), 'activation_failures_total{reason="network"}': ((0, 3), (1, 27))}),
        quiet=tuple(range(30)),
    ),
    Case(
        "a rolling update in which every pod is told to wait",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: (("0+3", 40),), NO_SEATS: (("0+2", 40),), EXPIRED: ((0, 40),)}),
        quiet=tuple(range(40)),
    ),
    Case(
        "nothing is asked and nothing fails",
        "LicenseActivationErrors",
        pod("a", {ATTEMPTS: ((7, 30),), EXPIRED: ((3, 30),)}),
        quiet=tuple(range(30)),
    ),
)

CASES: Final = (*EXPIRY, *GRACE_ENDING, *ACTIVATION_ERRORS)
