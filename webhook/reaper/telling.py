"""What the reaper does is told: a log line, an Event and a count, all by the same named reason."""

from __future__ import annotations

from typing import Final

from sidecar.row_contract import NODE_NOT_READY
from webhook.broker.own_rows import OwnRow
from webhook.broker.shapes import Caller
from webhook.kube.api import ApiError
from webhook.kube.events import Events
from webhook.log import Log
from webhook.reaper.metrics import ReaperMetrics
from webhook.reaper.shapes import Brake, Due, Failure, Reason
from webhook.reaper.share import LEAVE

_WHY: Final = {
    Reason.POD_GONE: "its pod is gone",
    Reason.POD_REPLACED: "its pod is gone, another one has its name",
    Reason.POD_ENDED: "its pod has ended",
}
_NODE_READY: Final = "node_ready"
_BRAKES: Final = {
    Brake.NOT_SYNCED: "the cluster's pods and nodes are not known yet",
    Brake.LITELLM_UNREAD: "LiteLLM's table cannot be read as a whole",
    Brake.KUBERNETES_UNREAD: "the cluster's pods and nodes cannot be read, or a list of them is empty",
    Brake.OTHER_CLUSTER: "the API server is another cluster's now: kube-system has another uid",
}


class Telling:
    """Tells of rows and brakes; `lease` is namespace and name of the Lease that leads."""

    def __init__(self, log: Log, events: Events, metrics: ReaperMetrics, lease: tuple[str, str]) -> None:
        self._log = log
        self._events = events
        self._metrics = metrics
        self._lease = lease
        self._held: frozenset[Brake] = frozenset()
        self._would: set[tuple[str, str]] = set()
        self._problem = ""

    async def removed(self, row: OwnRow, why: Reason) -> None:
        """Tell that a row was removed."""
        self._metrics.removed.labels(why.value).inc()
        await self._say(row, "REMOVED", "removed", f"{_WHY[why]} and it was not drained", reason=why)

    async def blocked(self, row: OwnRow, node: str) -> None:
        """Tell that a row was blocked."""
        self._metrics.blocked.inc()
        await self._say(row, "BLOCKED", "blocked", f"node {node} is not Ready", reason=NODE_NOT_READY)

    async def unblocked(self, row: OwnRow) -> None:
        """Tell that a row was unblocked."""
        self._metrics.unblocked.inc()
        why = "the pod's node is Ready again"
        await self._say(row, "UNBLOCKED", "unblocked", why, reason=_NODE_READY, kind="Normal")

    async def would(self, dues: list[Due], blocks: list[OwnRow], unblocks: list[OwnRow]) -> None:
        """Tell what would be done, each once for as long as it is so."""
        told = {
            (due.row.id, str(due.reason)): (due.row, "would be removed", _WHY[due.reason]) for due in dues
        }
        told |= {
            (row.id, NODE_NOT_READY): (row, "would be blocked", "its node is not Ready") for row in blocks
        }
        told |= {
            (row.id, _NODE_READY): (row, "would be unblocked", "its node is Ready again") for row in unblocks
        }
        for key in told.keys() - self._would:
            row, what, why = told[key]
            await self._say(row, "DRY-RUN", what, why, reason=key[1])
        self._would = {*told}

    async def braked(self, held: frozenset[Brake], due: int, limit: int) -> None:
        """Tell of a brake when it begins to hold and when it ends."""
        for brake in sorted(held - self._held):
            if brake is Brake.SHARE:
                self._share(due, limit)
            else:
                self._log.say("BRAKE", f"No row is removed: {_BRAKES[brake]}", brake=brake)
        for brake in sorted(self._held - held):
            self._log.say("BRAKE", "This holds the reaper back no longer", brake=brake)
        self._held = held

    def failed(self, failure: Failure, text: str) -> None:
        """Count what could not be done; the same is said once until something else is."""
        self._metrics.failures.labels(failure.value).inc()
        if (problem := f"{failure}: {text}") != self._problem:
            self._problem = problem
            self._log.say("PROBLEM", f"A row cannot be looked after: {text}", reason=failure)

    def succeeded(self) -> None:
        """Have the next problem said anew."""
        self._problem = ""

    def word(self, text: str, *, used: bool) -> None:
        """Tell what became of a person's word in the Lease's annotation."""
        what = (
            "Rows beyond the share go once, as a person said" if used else "Nothing waits for it: taken off"
        )
        self._log.say("BRAKE", what, annotation=f"{LEAVE}={text}")

    def bad_word(self, text: str) -> None:
        """Tell that a person's word is none."""
        allowed = "a whole number from 1 to 999999"
        problem = f"annotation {LEAVE} of the Lease: found {text!r}, allowed is {allowed}"
        if problem != self._problem:
            self._problem = problem
            self._log.say("PROBLEM", problem)

    def _share(self, due: int, limit: int) -> None:
        namespace, name = self._lease
        message = (
            f"No row is removed or blocked: {due} are due, at most {limit} may be within ten minutes. If "
            f"they are to go: kubectl annotate lease -n {namespace} {name} {LEAVE}={due}"
        )
        self._log.say("BRAKE", message, brake=Brake.SHARE, due=due, limit=limit)
        about = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": namespace,
            "name": name,
        }
        self._events.say(about, Brake.SHARE, message)

    async def _say(
        self, row: OwnRow, word: str, what: str, why: str, *, reason: str, kind: str = "Warning"
    ) -> None:
        self._log.say(
            word,
            f"Row {what}: {why}",
            reason=reason,
            namespace=row.namespace,
            pod=row.pod,
            name=row.name,
            id=row.id,
        )
        about = Caller(row.namespace, row.pod, row.pod_uid).reference
        message = f"Row {what} in LiteLLM, model {row.name}: {why}"
        occasion = f"{row.id} {what}"
        try:
            if not await self._events.once(about, reason, message, kind=kind, occasion=occasion):
                # a namespace that is gone, or going, takes none
                about = {"apiVersion": "v1", "kind": "Namespace", "name": row.namespace}
                message = f"{message} (pod {row.pod})"
                await self._events.once(about, reason, message, kind=kind, occasion=occasion)
        except ApiError as error:
            self.failed(Failure.KUBERNETES, f"an Event cannot be written: {error}")
