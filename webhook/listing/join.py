"""From all that was read to the lines of the list, each with what differs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from webhook.broker.shapes import Holder
from webhook.listing.shapes import Difference, Entry, Found, Pod, Row
from webhook.reaper.shapes import row_state


def joined(found: Found, cluster: str) -> list[Entry]:
    """Give the lines, by namespace, pod and model; a pod without a row has one, a row without a pod too."""
    of_pods: defaultdict[str, list[Row]] = defaultdict(list)
    for row in found.rows.values():
        of_pods[row.own.pod_uid].append(row)
    entries = [
        _entry(found, pod, row, cluster)
        for uid, pod in found.pods.items()
        for row in of_pods.pop(uid, () if pod.ended else (None,))
    ]
    entries += [_entry(found, None, row, cluster) for rows in of_pods.values() for row in rows]
    return sorted(entries, key=_place)


def _place(entry: Entry) -> tuple[tuple[str, str, str], str, str]:
    return entry.pod_id, *((entry.row.own.name, entry.row.own.id) if entry.row else ("", ""))


def _entry(found: Found, pod: Pod | None, row: Row | None, cluster: str) -> Entry:
    ready = None
    if pod and pod.node and found.nodes is not None and not pod.ended:
        ready = found.nodes.get(pod.node, False)
    elsewhere = _elsewhere(found, row, cluster) if row else ()
    differs = [
        *(_of_row(found, pod, row) if row else ()),
        *([Difference.NAME_ELSEWHERE] if elsewhere else ()),
        *(_of_pod(pod, row) if pod and not pod.ended else ()),
        *([Difference.NODE_NOT_READY] if ready is False else ()),
    ]
    return Entry(pod, row, ready, elsewhere, tuple(differs))


def _elsewhere(found: Found, row: Row, cluster: str) -> tuple[Holder, ...]:
    others = found.names.get(row.own.name, frozenset()) - {Holder(cluster, row.own.namespace)}
    return tuple(sorted(others, key=lambda holder: (holder.cluster, holder.namespace)))


def _of_row(found: Found, pod: Pod | None, row: Row) -> Iterator[Difference]:
    if pod is None:
        yield found.absent.get(row.own.pod_uid, Difference.POD_GONE)
    elif pod.ended:
        yield Difference.POD_ENDED
    elif row.address not in pod.addresses:
        yield Difference.ADDRESS_DIFFERS
    if row.own.blocked:
        yield Difference(row_state(row.own, (row.own.pod_uid,)))


def _of_pod(pod: Pod, row: Row | None) -> Iterator[Difference]:
    """Say what is wrong with a pod that lives; one that is being deleted need have no row any more."""
    if pod.deleting:
        return
    if not pod.injected:
        yield Difference.WITHOUT_REGISTRAR
    elif row is None:
        yield Difference.POD_WITHOUT_ROW
    if pod.trouble:
        yield Difference.REGISTRAR_NOT_RUNNING
