"""Stories for the alerts about pods that are not licensed: what is scraped, once a minute, and who is called when."""

from __future__ import annotations

from typing import Final

from tests.chart.promtool import Case, Sample, Series, pod

REFUSED: Final = 'state{state="refused"}'
WAITING: Final = 'state{state="waiting"}'
FOR_APP: Final = 'state{state="waiting_for_app"}'
NO_SEATS: Final = 'activation_failures_total{reason="no_seats"}'
EXPIRED: Final = 'activation_failures_total{reason="expired"}'


def unready(name: str, *samples: Sample, **states: tuple[Sample, ...]) -> Series:
    """Return a pod whose readiness is ``samples``; ``states`` are those that are told of, all others stay 0."""
    told = {f'state{{state="{state}"}}': values for state, values in states.items()}
    quiet = {state: ((0, 60),) for state in (REFUSED, WAITING, FOR_APP) if state not in told}
    return pod(name, {"ready": samples, **quiet, **told})


def rolling_update(pods: int, minutes: int) -> Series:
    """Return a fleet whose pods are replaced one after the other, each new one without a licence for ``minutes``."""
    made: Series = {}
    for number in range(pods):
        begin = 5 + number * minutes
        made |= unready(f"old-{number}", (1, begin), ("stale", 1))
        made |= unready(f"new-{number}", ("_", begin), (0, minutes), (1, 60))
    return made


NOT_ACTIVE: Final = (
    Case(
        "an outage of the activation server keeps pods unlicensed",
        "LicenseNotActive",
        unready("a", (1, 5), (0, 20), activating=((0, 5), (1, 20)))
        | unready("b", (0, 25), activating=((1, 25),))
        | unready("c", (1, 25)),
        quiet=(4,),
        fires={6: ({},), 12: ({},)},
        says=(
            "1 pod(s) of license-sidecar in namespace icap have not been ready for 5 minutes (15 where they wait "
            "for a seat or for the app), for example a, b. They get no traffic. `license-sidecar status` in the "
            "pod tells why."
        ),
    ),
    Case(
        "a pod that loses its licence later on, and one that has it now and then",
        "LicenseNotActive",
        unready("a", (1, 9), (0, 20), activating=((0, 9), (1, 20)))
        | unready("b", *((0, 3), (1, 1)) * 5, activating=((1, 20),)),
        quiet=(5, 8, 13),
        fires={15: ({},)},
    ),
    Case(
        "pods that have a licence now and then",
        "LicenseNotActive",
        unready("a", *((0, 4), (1, 1)) * 8) | unready("b", *((0, 3), (1, 1)) * 10, waiting=((1, 40),)),
        quiet=tuple(range(40)),
    ),
    Case(
        "an app that came back a minute ago after a long time",
        "LicenseNotActive",
        unready("a", (0, 20), waiting_for_app=((1, 4), (0, 16))),
        quiet=(5, 7),
        fires={9: ({},)},
    ),
    Case(
        "a rolling update in which some pod is always young calls nobody",
        "LicenseNotActive",
        rolling_update(pods=8, minutes=4),
        quiet=tuple(range(1, 45)),
    ),
    Case(
        "a pod that waits for a seat calls nobody for 15 minutes",
        "LicenseNotActive",
        unready("a", (0, 30), waiting=((1, 30),)),
        quiet=(6, 10, 14),
        fires={16: ({},)},
    ),
    Case(
        "an app that takes 10 minutes to start calls nobody",
        "LicenseNotActive",
        unready("a", (0, 11), (1, 20), waiting_for_app=((1, 10), (0, 21))),
        quiet=tuple(range(31)),
    ),
    Case(
        "a pod that is gone calls nobody, however it ended",
        "LicenseNotActive",
        unready("a", (0, 4), ("stale", 1)) | unready("b", (1, 20)),
        quiet=tuple(range(1, 15)),
    ),
    Case(
        "it is over as soon as the pod is ready",
        "LicenseNotActive",
        unready("a", (0, 8), (1, 10)),
        fires={7: ({},)},
        quiet=(8, 9),
    ),
)

REFUSED_CASES: Final = (
    Case(
        "an expired key: also while the app restarts because of it",
        "LicenseRefused",
        pod(
            "a",
            {
                "ready": ((0, 20),),
                REFUSED: ((1, 3), (0, 2), (1, 3), (0, 2), (1, 10)),
                NO_SEATS: ((0, 20),),
                EXPIRED: ((1, 5), (2, 15)),
            },
        ),
        quiet=(1,),
        fires={minute: ({},) for minute in (2, 4, 8, 9, 15)},
        says=(
            "1 pod(s) of license-sidecar in namespace icap got a final no: the key is unknown or expired, or the "
            "deployment ID is not accepted. The server's own sentence is in `license-sidecar status`. Pods that "
            "are still licensed go on; none that starts will get a licence."
        ),
    ),
    Case(
        "fifty pods are one alert",
        "LicenseRefused",
        {
            name: values
            for number in range(50)
            for name, values in pod(
                f"pod-{number}", {"ready": ((0, 9),), REFUSED: ((1, 9),), NO_SEATS: ((0, 9),)}
            ).items()
        },
        fires={5: ({},)},
    ),
    Case(
        "no seats is another alert's business",
        "LicenseRefused",
        pod("a", {"ready": ((0, 20),), REFUSED: ((1, 20),), NO_SEATS: (("1+1", 20),)}),
        quiet=tuple(range(20)),
    ),
    Case(
        "no seats, asked again in five minutes",
        "LicenseRefused",
        pod("a", {"ready": ((0, 40),), REFUSED: ((1, 40),), NO_SEATS: tuple((count, 5) for count in range(1, 9))}),
        quiet=tuple(range(10, 40)),
    ),
    Case(
        "no seats half an hour ago, a key that has expired now",
        "LicenseRefused",
        pod(
            "a", {"ready": ((0, 5), (1, 30), (0, 20)), REFUSED: ((1, 5), (0, 30), (1, 20)), NO_SEATS: ((1, 2), (4, 53))}
        ),
        quiet=(20, 35),
        fires={39: ({},), 50: ({},)},
    ),
    Case(
        "a pod that was refused half an hour ago, and whose app is being restarted now",
        "LicenseRefused",
        pod("a", {"ready": ((0, 2), (1, 30), (0, 10)), REFUSED: ((1, 2), (0, 40)), NO_SEATS: ((0, 42),)}),
        quiet=tuple(range(3, 42)),
    ),
    Case(
        "a refusal for an app that is licensed is grace",
        "LicenseRefused",
        pod("a", {"ready": ((1, 20),), REFUSED: ((0, 20),), NO_SEATS: ((0, 20),), EXPIRED: (("0+1", 20),)}),
        quiet=tuple(range(20)),
    ),
    Case(
        "a key that was replaced at once calls nobody",
        "LicenseRefused",
        pod("a", {"ready": ((0, 2), (1, 10)), REFUSED: ((1, 1), (0, 11)), NO_SEATS: ((0, 12),)}),
        quiet=tuple(range(12)),
    ),
)

NO_SEATS_CASES: Final = (
    Case(
        "all seats are taken by something that no record knows of",
        "LicenseNoSeats",
        pod("a", {"ready": ((0, 20),), REFUSED: ((1, 20),), WAITING: ((0, 20),), NO_SEATS: (("1+0.5", 20),)}),
        quiet=(1, 4),
        fires={6: ({},), 15: ({},)},
        says=(
            "1 pod(s) of license-sidecar in namespace icap have found no free seat for 5 minutes. Either there "
            "are more pods than seats, or something that no seat record knows of has taken some: `license-sidecar"
            " list` shows who has one."
        ),
    ),
    Case(
        "waiting does not count: a seat is about to become free",
        "LicenseNoSeats",
        pod("a", {"ready": ((0, 20),), REFUSED: ((0, 20),), WAITING: ((1, 20),), NO_SEATS: (("1+1", 20),)}),
        quiet=tuple(range(20)),
    ),
    Case(
        "a pod that was refused for a moment and waits since",
        "LicenseNoSeats",
        pod(
            "a", {"ready": ((0, 20),), REFUSED: ((1, 1), (0, 19)), WAITING: ((0, 1), (1, 19)), NO_SEATS: (("1+1", 20),)}
        ),
        quiet=tuple(range(20)),
    ),
    Case(
        "a sidecar that restarts meanwhile begins to count at 0 again",
        "LicenseNoSeats",
        pod("a", {"ready": ((0, 20),), REFUSED: ((1, 20),), WAITING: ((0, 20),), NO_SEATS: (("30+1", 8), ("0+1", 12))}),
        fires={7: ({},), 9: ({},), 12: ({},)},
    ),
    Case(
        "asked again in five minutes, while the app is restarted now and then",
        "LicenseNoSeats",
        pod(
            "a",
            {
                "ready": ((0, 40),),
                REFUSED: ((1, 2), (0, 2)) * 10,
                WAITING: ((0, 40),),
                NO_SEATS: tuple((count, 5) for count in range(1, 9)),
            },
        ),
        fires={minute: ({},) for minute in range(11, 40)},
    ),
    Case(
        "a pod that has a seat now and then, and one that waits now and then",
        "LicenseNoSeats",
        pod("a", {"ready": ((0, 3), (1, 1)) * 10, REFUSED: ((1, 40),), WAITING: ((0, 40),), NO_SEATS: (("1+1", 40),)})
        | pod(
            "b", {"ready": ((0, 40),), REFUSED: ((1, 40),), WAITING: ((0, 3), (1, 1)) * 10, NO_SEATS: (("1+1", 40),)}
        ),
        quiet=tuple(range(40)),
    ),
    Case(
        "no seats half an hour ago; now the app does not start",
        "LicenseNoSeats",
        pod(
            "a",
            {"ready": ((0, 50),), REFUSED: ((1, 10), (0, 40)), WAITING: ((0, 50),), NO_SEATS: (("1+1", 10), (11, 40))},
        ),
        fires={8: ({},)},
        quiet=tuple(range(22, 50)),
    ),
    Case(
        "an expired key is no lack of seats",
        "LicenseNoSeats",
        pod("a", {"ready": ((0, 20),), REFUSED: ((1, 20),), WAITING: ((0, 20),), NO_SEATS: ((0, 20),)}),
        quiet=tuple(range(20)),
    ),
)

CASES: Final = (*NOT_ACTIVE, *REFUSED_CASES, *NO_SEATS_CASES)
