"""Stories for the alerts about sidecars that are not there, and about seats that are nearly all there are."""

from __future__ import annotations

from typing import Final

from tests.chart.promtool import JOB, NAMESPACE, Case, Sample, Series, pod, timeline

SCANNED: Final = "last_reclaim_scan_success_timestamp_seconds"


def kube(
    name: str, *, sidecar: str = "", app: str = "md-icapsrv", running: tuple[Sample, ...] = ((1, 40),), **more: str
) -> Series:
    """Return what kube-state-metrics tells of a pod of the app; ``sidecar``: ``native``, ``container`` or not there."""
    of = f'namespace="{NAMESPACE}",pod="{name}",job="kube-state-metrics"'
    made = {f'kube_pod_container_info{{{of},container="{app}"}}': timeline((1, 40))}
    if sidecar == "native":
        made[f'kube_pod_init_container_info{{{of},container="license-sidecar"}}'] = timeline((1, 40))
    if sidecar == "container":
        made[f'kube_pod_container_info{{{of},container="license-sidecar"}}'] = timeline((1, 40))
    made[f'kube_pod_status_phase{{{of},phase="Running"}}'] = timeline(*running)
    return made | {f"{metric}{{{of}}}": values for metric, values in more.items()}


ABSENT: Final = (
    Case(
        "a native sidecar, an init container for Kubernetes, is no target",
        "LicenseSidecarAbsent",
        kube("a", sidecar="native"),
        quiet=(5, 9),
        fires={12: ({},)},
        says=(
            "1 pod(s) of license-sidecar in namespace icap have had no sidecar that Prometheus can ask for 10 "
            "minutes. If it is not there at all, nobody gives their seats back."
        ),
    ),
    Case(
        "an app without any sidecar",
        "LicenseSidecarAbsent",
        kube("a"),
        fires={12: ({},)},
    ),
    Case(
        "a sidecar that does not answer is counted once, whatever kube-state-metrics says",
        "LicenseSidecarAbsent",
        kube("a", sidecar="container") | pod("a", {"up": ((1, 5), (0, 35))}) | pod("b", {"up": ((1, 40),)}),
        quiet=(4, 10, 14),
        fires={16: ({},)},
    ),
    Case(
        "a sidecar that is no target any more",
        "LicenseSidecarAbsent",
        kube("a", sidecar="native") | pod("a", {"up": ((1, 10), ("stale", 1))}),
        quiet=(9, 15, 18),
        fires={22: ({},)},
    ),
    Case(
        "a sidecar beside an app of another name",
        "LicenseSidecarAbsent",
        kube("a", sidecar="container", app="scanner"),
        fires={12: ({},)},
    ),
    Case(
        "a sidecar that answers now and then, seen by some Prometheus that is slow",
        "LicenseSidecarAbsent",
        pod("a", {"up": ((0, 4), (1, 1)) * 8}) | kube("a", sidecar="native"),
        quiet=tuple(range(40)),
    ),
    Case(
        "a target that comes and goes, as long as it answers",
        "LicenseSidecarAbsent",
        pod("a", {"up": ((1, 1), ("stale", 6)) * 5}) | kube("a", sidecar="native"),
        quiet=tuple(range(35)),
    ),
    Case(
        "both kinds of sidecars answer",
        "LicenseSidecarAbsent",
        kube("a", sidecar="native")
        | kube("b", sidecar="container")
        | pod("a", {"up": ((1, 40),)})
        | pod("b", {"up": ((1, 40),)}),
        quiet=tuple(range(0, 40, 3)),
    ),
    Case(
        "pods that have just started, are being deleted, or have ended",
        "LicenseSidecarAbsent",
        kube("young", sidecar="native", running=(("_", 30), (1, 10)))
        | kube("deleted", sidecar="native", kube_pod_deletion_timestamp=timeline((1, 40)))
        | kube("ended", sidecar="native", running=((0, 40),))
        | pod("deleted", {"up": ((0, 40),)}),
        quiet=tuple(range(0, 40, 3)),
    ),
    Case(
        "a rolling update in which each new sidecar takes 2 minutes to be found",
        "LicenseSidecarAbsent",
        {
            name: values
            for number in range(10)
            for name, values in (
                kube(f"pod-{number}", sidecar="native", running=(("_", 3 * number), (1, 40)))
                | pod(f"pod-{number}", {"up": (("_", 3 * number), (0, 2), (1, 40))})
            ).items()
        },
        quiet=tuple(range(40)),
    ),
    Case(
        "outside Kubernetes",
        "LicenseSidecarAbsent",
        {f'up{{job="{JOB}",instance="pod1:9480"}}': timeline((1, 3), (0, 37))},
        quiet=(5, 12),
        fires={14: ({},)},
        says=(
            "1 pod(s) of license-sidecar have had no sidecar that Prometheus can ask for 10 minutes. If it is not"
            " there at all, nobody gives their seats back."
        ),
        namespace=False,
    ),
)


def used(name: str, held: int, records: int, configured: int = 10, waiting: int = 0) -> Series:
    """Return a sidecar that holds a seat or not, sees records in the ledger, and has been told of so many seats."""
    return pod(
        name,
        {
            "seat_held": ((held, 60),),
            'seat_records{phase="active"}': ((records, 60),),
            'seat_records{phase="activating"}': ((waiting, 60),),
            "seats_configured": ((configured, 60),),
            SCANNED: (("0+60" if records else 0, 60),),
        },
    )


NEARLY_USED: Final = (
    Case(
        "nine of ten seats, some of them another workload's",
        "LicenseSeatsNearlyUsed",
        used("a", 1, 9) | used("b", 1, 9),
        quiet=(10,),
        fires={20: ({},)},
        says=(
            "90% of the configured seats are taken, as license-sidecar in namespace icap sees it. Another pod, or"
            " a rolling update that starts new pods before old ones end, may find none."
        ),
    ),
    Case(
        "in a large fleet a sidecar shows what it saw before seats were given back",
        "LicenseSeatsNearlyUsed",
        used("a", 1, 5) | used("b", 1, 10) | pod("b", {SCANNED: ((0, 2), (120, 58))}),
        quiet=tuple(range(10, 60, 5)),
    ),
    Case(
        "nobody scans the ledger: what the pods hold counts",
        "LicenseSeatsNearlyUsed",
        used("a", 1, 0, configured=2) | used("b", 1, 0, configured=2),
        fires={20: ({},)},
    ),
    Case(
        "eight of ten, and two that wait",
        "LicenseSeatsNearlyUsed",
        used("a", 1, 8, waiting=2),
        quiet=tuple(range(0, 60, 5)),
    ),
    Case(
        "nobody has said how many seats there are",
        "LicenseSeatsNearlyUsed",
        used("a", 1, 9, configured=0),
        quiet=tuple(range(0, 60, 5)),
    ),
)

CASES: Final = (*ABSENT, *NEARLY_USED)
