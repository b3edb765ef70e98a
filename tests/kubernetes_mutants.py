"""More edits for ``tests.mutations``: what keeps the invariants in Kubernetes (rules 1, 10, 15, 17 and 18)."""

from __future__ import annotations

from typing import Final

from tests.mutants import RULES, Mutant

OWN_POD: Final = f"{RULES}/test_rule_15_own_pod.py"
FAILURE: Final = f"{RULES}/test_rule_17_in_kubernetes.py"
STOP: Final = f"{RULES}/test_rule_18_the_stop.py"
MODEL: Final = "tests/model/test_pod_model.py"
PODS: Final = "tests/unit/adapters/test_pods.py"
LEASE: Final = "tests/unit/adapters/test_lease_record.py"
LEASES: Final = "tests/unit/adapters/test_lease_ledger.py"
API: Final = "tests/unit/adapters/test_kubernetes_api.py"
WATCH: Final = "tests/unit/adapters/test_kubernetes_watch.py"
PATIENCE: Final = "tests/unit/test_patience.py"

KUBERNETES_MUTANTS: Final = (
    # --- rule 15: a lost record
    Mutant(
        "RECORD_FIRST",
        "who we are is not proven before anything is written",
        "sidecar/core/plan.py",
        "if running and state.policy.watches_pod and state.pod.report is None:",
        "if False:",
        (f"{RULES}/test_own_identity.py",),
    ),
    Mutant(
        "NO_LEAK",
        "a lost record is written again without a look at the pod",
        "sidecar/core/plan.py",
        "return pod_proven(state) and not pod_ends(state)",
        "return not pod_ends(state)",
        (OWN_POD,),
    ),
    Mutant(
        "NO_LEAK",
        "a pod that is going takes its seat back",
        "sidecar/core/plan.py",
        "return pod_proven(state) and not pod_ends(state)",
        "return pod_proven(state)",
        (OWN_POD, MODEL),
    ),
    Mutant(
        "NO_LEAK",
        "a claimed record is renewed as if nothing had happened",
        "sidecar/core/plan.py",
        "if not state.policy.watches_pod or _takes(state):",
        "if state.policy.watches_pod or _takes(state):",
        (OWN_POD, MODEL),
    ),
    Mutant(
        "NO_LEAK",
        "a look that the watch overtook is believed",
        "sidecar/core/fold/pod.py",
        "if flight.overdue or flight.started < state.pod.seen_at:",
        "if flight.overdue:",
        (OWN_POD,),
    ),
    Mutant(
        "NO_LEAK",
        "a watch that lags takes a deletion back",
        "sidecar/core/fold/pod.py",
        "report = replace(report, deleting=True)",
        "pass",
        (OWN_POD,),
    ),
    # --- rule 17: the app's failure
    Mutant(
        "NO_THEFT",
        "the port decides in Kubernetes too",
        "sidecar/core/conclusions.py",
        "if state.policy.watches_pod:\n        return _container_fails_at(state, contact)",
        "if False:\n        return _container_fails_at(state, contact)",
        (FAILURE,),
    ),
    Mutant(
        "NO_THEFT",
        "an exit during the pod's deletion is a crash",
        "sidecar/core/conclusions.py",
        "if pod.report is not None and (pod.report.deleting or pod.report.ended):",
        "if False:",
        (FAILURE,),
    ),
    Mutant(
        "NO_THEFT",
        "an old status is believed while the pod cannot be seen",
        "sidecar/core/conclusions.py",
        "if since is None or pod.down_since is not None or",
        "if since is None or",
        (FAILURE,),
    ),
    Mutant(
        "NO_THEFT",
        "a status that lags is believed over the app's own answer",
        "sidecar/core/conclusions.py",
        "if state.app.answered_at >= since:",
        "if False:",
        (FAILURE,),
    ),
    Mutant(
        "HONEST_READY",
        "what the former container said still counts",
        "sidecar/core/fold/pod.py",
        "    if restarted:\n        state = _restarted(state, now)\n",
        "",
        (FAILURE,),
    ),
    # --- rule 18: the stop
    Mutant(
        "NO_THEFT",
        "every SIGTERM gives the seat back",
        "sidecar/core/settle.py",
        "if proven and (ending or gone or (asked and refused) or deciding.always):",
        "if proven:",
        (STOP, MODEL),
    ),
    Mutant(
        "NO_THEFT",
        "seats are released in the name of a uid that was never proven",
        "sidecar/core/settle.py",
        "if proven and (ending or gone or (asked and refused) or deciding.always):",
        "if ending or gone or (asked and refused) or deciding.always:",
        (STOP,),
    ),
    Mutant(
        "NO_THEFT",
        "a status that lags is believed over an open port",
        "sidecar/core/settle.py",
        "gone = not asked and pod is not None",
        "gone = pod is not None",
        (STOP,),
    ),
    Mutant(
        "NO_THEFT",
        "an app that still serves in a pod that ends is not waited for",
        "sidecar/core/settle.py",
        "serves=serves and not deciding.always)",
        "serves=False)",
        (STOP,),
    ),
    Mutant(
        "NO_LEAK",
        "a pod that ends keeps its seat",
        "sidecar/core/settle.py",
        "ending = pod is not None and ends(pod, state.policy.owner.uid)",
        "ending = False",
        (STOP,),
    ),
    Mutant(
        "BOUNDED_STOP",
        "what is left of the pod's grace period is not looked at",
        "sidecar/core/settle.py",
        "deadline = min(deciding.deadline, grace_end(now, ends_at))",
        "deadline = deciding.deadline",
        (STOP,),
    ),
    # --- rule 10: whose seat
    Mutant(
        "NO_THEFT",
        "a pod that is being deleted counts as gone",
        "sidecar/adapters/pods.py",
        "if left is not None and left < -OVERDUE:",
        "if left is not None:",
        (PODS,),
    ),
    Mutant(
        "NO_THEFT",
        "a pod that must not be looked at counts as gone",
        "sidecar/adapters/pods.py",
        "self._forbid(owner.namespace)\n                    return Sight(Standing.UNPROVEN,",
        "self._forbid(owner.namespace)\n                    return Sight(Standing.GONE,",
        (PODS,),
    ),
    Mutant(
        "NO_THEFT",
        "nobody looks whether we see ourselves",
        "sidecar/adapters/pods.py",
        "return bool(self._own.uid) and _uid(reply.body) == self._own.uid",
        "return True",
        (PODS,),
    ),
    Mutant(
        "NO_THEFT",
        "a portal's 404 is a pod that is gone",
        "sidecar/adapters/kubernetes_api.py",
        "return fault  # a page of a proxy",
        "pass  # a page of a proxy",
        (API,),
    ),
    Mutant(
        "NO_THEFT",
        "an answer that shows no pod is a pod that is gone",
        "sidecar/adapters/pods.py",
        'if body.get("kind", "Pod") != "Pod" or not _uid(body):',
        "if False:",
        (PODS,),
    ),
    Mutant(
        "NO_LEAK",
        "one record that names no possible pod ends every scan",
        "sidecar/adapters/pods.py",
        "if not is_pod_name(owner.pod) or not is_namespace(owner.namespace):",
        "if False:",
        (PODS,),
    ),
    Mutant(
        "NO_LEAK",
        "an ended pod lives at a glance",
        "sidecar/adapters/pods.py",
        "            seen.pop(_uid(pod), None)\n",
        "            pass\n",
        (PODS,),
    ),
    # --- rule 1 and the ledger
    Mutant(
        "NO_THEFT",
        "a record that a backup brought back is believed",
        "sidecar/adapters/lease_record.py",
        'if note("self") not in ("", uid):',
        "if False:",
        (LEASE,),
    ),
    Mutant(
        "NO_THEFT",
        "the holder of a Lease is believed whatever the annotations say",
        "sidecar/adapters/lease_record.py",
        "if not told and not check:",
        "if True:",
        (LEASE,),
    ),
    Mutant(
        "NO_THEFT",
        "a record that contradicts itself still names a pod",
        "sidecar/adapters/lease_record.py",
        'return "", told or held',
        "return pod, told or held",
        (LEASE,),
    ),
    Mutant(
        "NO_LEAK",
        "a Lease that is being deleted is written over",
        "sidecar/adapters/lease_record.py",
        'if meta.get("deletionTimestamp"):',
        "if False:",
        (LEASE,),
    ),
    Mutant(
        "RECORD_FIRST",
        "a Lease is written over without its version",
        "sidecar/adapters/lease_record.py",
        'meta |= {"uid": uid, "resourceVersion": version}',
        'meta |= {"uid": uid}',
        (LEASE,),
    ),
    Mutant(
        "NO_THEFT",
        "a damaged Lease that a backup brought back is taken for ours",
        "sidecar/adapters/lease_record.py",
        "if own != uid and (uid or not named):",
        "if own != uid and not named:",
        (LEASES,),
    ),
    Mutant(
        "NO_THEFT",
        "a damaged Lease that names nobody is taken for ours",
        "sidecar/adapters/lease_record.py",
        "if own != uid and (uid or not named):",
        "if own != uid and uid:",
        (LEASES,),
    ),
    # --- the API server
    Mutant(
        "NO_SECRET",
        "a redirect takes our token with it",
        "sidecar/adapters/kubernetes_api.py",
        "allow_redirects=False",
        "allow_redirects=True",
        (API,),
    ),
    Mutant(
        "BOUNDED_LOAD",
        "a busy server's wish is respected only once",
        "sidecar/patience.py",
        "self._pause(state.attempt_number + 1, state.outcome.exception() if state.outcome else None)",
        "self._pause(state.attempt_number + 1, None)",
        (PATIENCE,),
    ),
    Mutant(
        "BOUNDED_LOAD",
        "a list that goes round in a circle is followed",
        "sidecar/adapters/kubernetes_watch.py",
        "if follow == before:",
        "if False:",
        (WATCH,),
    ),
    Mutant(
        "BOUNDED_LOAD",
        "a watch that is closed at once begins anew at once",
        "sidecar/adapters/kubernetes_watch.py",
        "        failures += 1\n",
        "        failures = 0\n",
        (WATCH,),
    ),
)
