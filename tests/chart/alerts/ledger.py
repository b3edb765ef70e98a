"""Stories for the alerts about heartbeats, releases and the ledger."""

from __future__ import annotations

from typing import Final

from tests.chart.promtool import Case, Sample, Series, pod

RELEASES: Final = 'release_failures_total{reason="timeout"}'
RECLAIMS: Final = 'reclaims_total{result="failed"}'
ORPHANS: Final = 'orphaned_seat_records{phase="active"}'
HANDED_OVER: Final = 'orphaned_seat_records{phase="handover"}'
SCANNED: Final = "last_reclaim_scan_success_timestamp_seconds"
SCAN_FAILURES: Final = "reclaim_scan_failures_total"


def checks(name: str, held: int, **beaten: Sample) -> Series:
    """Return a pod that looks every 15 s (server: every day); ``beaten`` is the time of a check's last success."""
    intervals = {"record": 15, "app": 15, "server": 86400}
    made = pod(name, {"seat_held": ((held, 40),)})
    for check, sample in beaten.items():
        made |= pod(
            name,
            {
                f'heartbeat_interval_seconds{{check="{check}"}}': ((intervals[check], 40),),
                f'last_heartbeat_success_timestamp_seconds{{check="{check}"}}': (sample,),
            },
        )
    return made


HEARTBEAT: Final = (
    Case(
        "the ledger takes no renewal",
        "LicenseHeartbeatStale",
        checks("a", 1, record=(60, 40), app=("-10+60", 40), server=(100, 40)),
        quiet=(2, 5),
        fires={10: ({"check": "record"},)},
        says=(
            '1 pod(s) of license-sidecar in namespace icap hold a seat whose check "record" (record: the ledger; '
            "app: its REST API; server: the activation server) has not succeeded for more than three intervals. "
            "They go on serving, for a time."
        ),
    ),
    Case(
        "all beat, seen by a Prometheus that looks once a minute only",
        "LicenseHeartbeatStale",
        checks("a", 1, record=("-14+60", 40), app=("-29+60", 40), server=(100, 40)),
        quiet=tuple(range(40)),
    ),
    Case(
        "all beat, but rules are always evaluated a minute after the scrape",
        "LicenseHeartbeatStale",
        {
            name: " ".join(value if minute % 2 else "_" for minute, value in enumerate(values.split()))
            for name, values in checks("a", 1, record=("-14+60", 40), app=("-29+60", 40)).items()
        },
        quiet=tuple(range(0, 40, 2)),
        every=2,
    ),
    Case(
        "without a seat there is no record to renew",
        "LicenseHeartbeatStale",
        checks("a", 0, record=(60, 40), app=("-10+60", 40), server=(100, 40)),
        quiet=tuple(range(40)),
    ),
    Case(
        "an adopted seat was never asked for, and a check that is off never succeeds",
        "LicenseHeartbeatStale",
        checks("a", 1, record=("-10+60", 40), app=("-10+60", 40), server=(0, 40))
        | pod(
            "b",
            {
                "seat_held": ((1, 40),),
                'heartbeat_interval_seconds{check="server"}': ((0, 40),),
                'last_heartbeat_success_timestamp_seconds{check="server"}': ((60, 40),),
            },
        ),
        quiet=tuple(range(40)),
    ),
)

RELEASE: Final = (
    Case(
        "releases of pods that changed their ID are not answered",
        "LicenseReleaseFailing",
        pod("a", {RELEASES: (("0+1", 40),), RECLAIMS: ((0, 40),)}),
        quiet=(5, 14),
        fires={18: ({},)},
        says=(
            "The activation server has not confirmed releases asked for by license-sidecar in namespace icap for "
            "15 minutes. The seats stay taken and are tried again; none is forgotten."
        ),
    ),
    Case(
        "reclaims fail",
        "LicenseReleaseFailing",
        pod("a", {RELEASES: ((0, 40),), RECLAIMS: (("0+1", 40),)}),
        fires={18: ({},)},
    ),
    Case(
        "an answer is missing every five minutes",
        "LicenseReleaseFailing",
        pod("a", {RELEASES: tuple((count, 5) for count in range(8)), RECLAIMS: ((0, 40),)}),
        fires={30: ({},)},
    ),
    Case(
        "an orphan's release fails every five minutes",
        "LicenseReleaseFailing",
        pod("a", {RELEASES: ((0, 40),), RECLAIMS: tuple((count, 5) for count in range(8))}),
        fires={30: ({},)},
    ),
    Case(
        "one failure each that was mended by the next attempt",
        "LicenseReleaseFailing",
        pod("a", {RELEASES: ((0, 5), (1, 35)), RECLAIMS: ((0, 6), (1, 34))}),
        quiet=tuple(range(40)),
    ),
)


def looks(name: str, orphans: tuple[Sample, ...], scanned: tuple[Sample, ...]) -> Series:
    """Return what a sidecar saw in the ledger, and when."""
    return pod(name, {ORPHANS: orphans, HANDED_OVER: ((0, 90),), SCANNED: scanned})


ORPHAN: Final = (
    Case(
        "an orphan that nobody can release, seen by two sidecars, is one orphan",
        "LicenseOrphans",
        looks("a", ((0, 5), (1, 85)), (("0+60", 90),)) | looks("b", ((0, 5), (1, 85)), (("0+60", 90),)),
        quiet=(6, 34),
        fires={40: ({},)},
        says=(
            "1 seat record(s) seen by license-sidecar in namespace icap have had no owner for 30 minutes; usually"
            " that takes two. `license-sidecar list` tells why they are kept."
        ),
    ),
    Case(
        "an orphan that was reclaimed after two minutes",
        "LicenseOrphans",
        looks("a", ((0, 5), (1, 2), (0, 83)), (("0+60", 90),)),
        quiet=tuple(range(0, 90, 5)),
    ),
    Case(
        "in a large fleet a sidecar shows for hours what it saw at its last turn",
        "LicenseOrphans",
        looks("a", ((1, 90),), ((0, 2), (120, 88))) | looks("b", ((0, 90),), (("0+60", 90),)),
        quiet=tuple(range(0, 90, 5)),
    ),
)

STALLED: Final = (
    Case(
        "no sidecar may list the ledger any more",
        "LicenseReclaimStalled",
        pod("a", {SCANNED: ((100, 60),), SCAN_FAILURES: (("0+2", 60),)}),
        quiet=(9,),
        fires={20: ({},)},
        says=(
            "No sidecar of license-sidecar in namespace icap has finished a scan of the ledger for 10 minutes or "
            "more. Seats of pods that die stay taken until that works again."
        ),
    ),
    Case(
        "scans worked for a while, and now fail every five minutes",
        "LicenseReclaimStalled",
        pod(
            "a",
            {SCANNED: (("0+60", 20), (1140, 60)), SCAN_FAILURES: ((0, 20), *((count, 5) for count in range(1, 13)))},
        ),
        quiet=(20, 40),
        fires={50: ({},), 75: ({},)},
    ),
    Case(
        "every other scan fails, and there is one in five minutes",
        "LicenseReclaimStalled",
        pod(
            "a",
            {
                SCANNED: tuple((600 * count, 10) for count in range(1, 9)),
                SCAN_FAILURES: tuple((count, 10) for count in range(8)),
            },
        ),
        quiet=tuple(range(0, 80, 2)),
    ),
    Case(
        "a failure an hour ago, and a scan that is due but seldom",
        "LicenseReclaimStalled",
        pod("a", {SCANNED: ((60, 5), (300, 75)), SCAN_FAILURES: ((0, 3), (1, 77))}),
        quiet=tuple(range(0, 80, 2)),
    ),
    Case(
        "one sidecar fails, another scans",
        "LicenseReclaimStalled",
        pod("a", {SCANNED: ((0, 60),), SCAN_FAILURES: (("0+2", 60),)})
        | pod("b", {SCANNED: (("0+60", 60),), SCAN_FAILURES: ((0, 60),)}),
        quiet=tuple(range(0, 60, 5)),
    ),
    Case(
        "reclaim.enabled is off: nothing is scanned, nothing fails",
        "LicenseReclaimStalled",
        pod("a", {SCANNED: ((0, 60),), SCAN_FAILURES: ((0, 60),)}),
        quiet=tuple(range(0, 60, 5)),
    ),
    Case(
        "the API server was away for two minutes",
        "LicenseReclaimStalled",
        pod("a", {SCANNED: (("0+60", 20), (1200, 3), ("1380+60", 37)), SCAN_FAILURES: ((0, 20), (2, 40))}),
        quiet=tuple(range(0, 60, 2)),
    ),
)

CASES: Final = (*HEARTBEAT, *RELEASE, *ORPHAN, *STALLED)
