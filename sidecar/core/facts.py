"""What the outside told us, as values: the app's report, the licence, the keys, the own pod.

Pure data that adapters make and the machine folds. No key is ever in here: keys are named by their fingerprint.
"""

from dataclasses import dataclass, field

from sidecar.core.reasons import AppEnd


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence file as the activation server answered it, to be delivered as it is.

    ``expires_at`` is seconds since the epoch, 0.0 where the file does not tell (its fields are not published).
    """

    body: bytes = field(repr=False)
    product: str = ""
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class AppReport:
    """One look at the app (protocol.md section 2).

    ``deployment_id`` is None while the app has none yet. ``licensed`` is None where the app does not tell.
    ``parts`` maps the parts of the verbose ``/readyz`` (``database``, ``engines``, ``server_profiles``) to whether they
    are fit; a part that the app does not report is absent.
    """

    deployment_id: str | None
    licensed: bool | None
    parts: tuple[tuple[str, bool], ...] = ()
    product: str = ""
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """The keys of the key folder at one moment, by fingerprint.

    ``current`` is None while there is no usable key; ``fault`` then says why, in a sentence for people (a fault may
    also accompany a key that is kept because its replacement is unusable). ``previous`` are the former keys.
    ``warning`` tells of an unusual looking key, which is used all the same.
    """

    current: str | None
    previous: tuple[str, ...] = ()
    fault: str = ""
    warning: str = ""

    def known(self) -> frozenset[str]:
        """Return the fingerprints of all keys with which a seat can be released."""
        return frozenset(self.previous) | ({self.current} if self.current else frozenset())


@dataclass(frozen=True, slots=True)
class AppContainer:
    """The app's container as the own pod's status shows it.

    ``id`` is empty before the container was first made. ``ended`` says how it ended last, None while it runs or before
    it ever ran; states coalesce, so ``restarts`` and ``id`` tell of ends that were never seen (kubernetes.md).
    """

    id: str = ""
    restarts: int = 0
    ended: AppEnd | None = None


@dataclass(frozen=True, slots=True)
class PodReport:
    """One look at our own pod, named by our uid (rules 15, 17 and 18).

    ``uid`` is what the API server knows under our name and namespace, empty where there is no such pod. ``deleting``:
    it has a deletionTimestamp; ``grace_left`` is what was left of its grace period then, in seconds by the API server's
    clock (None: not told). ``ended``: a terminal phase, or the condition DisruptionTarget: an eviction or the end of
    its node, which have no deletionTimestamp. ``app`` is None where the status does not show the app's container.
    ``fault``: a sentence for people, where the pod cannot be the one that the settings describe.
    """

    uid: str
    deleting: bool = False
    grace_left: float | None = None
    ended: bool = False
    app: AppContainer | None = None
    fault: str = ""
